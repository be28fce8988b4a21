"""Texts that are not saved yet, kept where a vanished terminal or a killed program does not reach them."""

import hashlib
import os
import time
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.files import SCHEMA, moment, read_json_or_none, write_json
from fttui_engine.runs.home import PRIVATE_FOLDER
from fttui_engine.runs.identity import (
    identify,
    identify_self,
    identity_from_json,
    identity_to_json,
    this_host,
)


class Draft(NamedTuple):
    """An unsaved text; ``path`` is the file that it is to become, empty for a new one."""

    file: Path
    path: str
    profile: str
    text: str
    written_at: float
    host: str


def drafts_folder(home: Path) -> Path:
    """Return where drafts are kept; it need not exist."""
    return home / "drafts"


class DraftKeeper:
    """Keeps the draft of one editor; used by several threads."""

    def __init__(self, home: Path, path: str) -> None:
        self._home, self._lock, self._is_closed = home, Lock(), False
        self._file, self._path = self._named(path), path

    def _named(self, path: str) -> Path:
        name = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return drafts_folder(self._home) / f"{name}-{os.getpid()}-{os.urandom(3).hex()}.json"

    def keep(self, profile: str, text: str) -> None:
        """Keep a text; raises WrongRequestError where that is not possible."""
        value = {
            "schema": SCHEMA,
            "editor": identity_to_json(identify_self()),
            "path": self._path,
            "profile": profile,
            "text": text,
            "written_at": time.time(),
        }
        with self._lock:
            if self._is_closed:
                return
            try:
                self._file.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
                # A lost connection ends a program, not the power: no fsync after every few letters.
                write_json(self._file, value, durable=False)
            except OSError as error:
                raise WrongRequestError(
                    f"the draft cannot be kept in {self._file.parent}: {error.strerror}", "save the file soon"
                ) from error

    def drop(self) -> None:
        """Forget the draft: the text is saved."""
        with self._lock:
            if not self._is_closed:
                self._file.unlink(missing_ok=True)

    def close(self, *, drops: bool) -> None:
        """Keep no more; what is kept stays unless it is not wanted."""
        with self._lock:
            if drops:
                self._file.unlink(missing_ok=True)
            self._is_closed = True


def left_behind(home: Path, path: str) -> Draft | None:
    """Return the newest draft of a file that no living editor is at work on."""
    found = [draft for draft in _drafts(home) if draft.path == path]
    return max(found, key=lambda draft: draft.written_at, default=None)


def edited_elsewhere(home: Path, path: str) -> int | None:
    """Return the process on this host that has unsaved changes of the same file, if there is one."""
    for file in _files(home):
        value = read_json_or_none(file) or {}
        editor = identity_from_json(value.get("editor"))
        if (
            value.get("path") == path
            and editor
            and editor.pid != os.getpid()
            and identify(editor.pid) == editor
        ):
            return editor.pid
    return None


def _files(home: Path) -> list[Path]:
    return sorted(drafts_folder(home).glob("*.json"))


def _drafts(home: Path) -> list[Draft]:
    drafts = []
    for file in _files(home):
        value = read_json_or_none(file)
        text = value.get("text") if value else None
        if not value or not isinstance(text, str):
            continue
        editor = identity_from_json(value.get("editor"))
        if editor and editor.host == this_host() and identify(editor.pid) == editor:
            continue
        host = "" if editor is None or editor.host == this_host() else editor.host
        drafts.append(
            Draft(
                file,
                str(value.get("path") or ""),
                str(value.get("profile") or ""),
                text,
                moment(value.get("written_at")) or 0.0,
                host,
            )
        )
    return drafts
