"""The file behind a document: read with its line ends and mode, written in one piece, and watched for others' changes."""

import contextlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.files import replace_file
from fttui_engine.spec.document import read_text
from fttui_engine.spec.nodes import DocumentError

BOM = b"\xef\xbb\xbf"
NEW_FILE_MODE = 0o666


class OpenedFile(NamedTuple):
    """A file as it was read or written last; ``content`` is ``None`` where there is none yet."""

    path: Path
    content: bytes | None = None

    @property
    def text(self) -> str:
        """The text with line ends as Python has them, without a byte order mark."""
        text = (self.content or b"").decode("utf-8-sig")
        return text.replace("\r\n", "\n")

    def bytes_of(self, text: str) -> bytes:
        """Return a text as it is written to this file: with its line ends, and its byte order mark."""
        old = self.content or b""
        if text == self.text and self.content is not None:
            return old
        # One lone \n makes it a file of \n; mixed ends are the accident of an editor.
        is_windows = b"\r\n" in old and old.count(b"\n") == old.count(b"\r\n")
        mark = BOM if old.startswith(BOM) else b""
        return mark + (text.replace("\n", "\r\n") if is_windows else text).encode()


def open_file(path: Path) -> OpenedFile:
    """Read a configuration file, which need not be there yet; raises WrongRequestError where it is none."""
    path = Path(os.path.abspath(os.path.expanduser(path)))
    if not os.path.lexists(path):
        if not path.parent.is_dir():
            raise WrongRequestError(
                f"there is no folder {path.parent}", "create it first, or name another file"
            )
        return OpenedFile(path)
    try:
        read_text(path)
        return OpenedFile(path, path.read_bytes())
    except DocumentError as error:
        where = f" (line {error.line})" if error.line else ""
        raise WrongRequestError(f"{path}: {error.message}{where}", "name a YAML file") from None
    except OSError as error:
        raise WrongRequestError(f"{path} cannot be read: {error.strerror}", "name a YAML file") from None


def content_now(path: Path) -> bytes | None:
    """Return what the file holds now, ``None`` where it is gone; raises OSError where it cannot be read."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def save_file(opened: OpenedFile, text: str) -> OpenedFile:
    """Replace the file in one piece, with the mode that it had; raises WrongRequestError, and then it is as it was."""
    content = opened.bytes_of(text)
    # A link stays a link: what it leads to is replaced.
    target = Path(os.path.realpath(opened.path))
    try:
        _replace(target, content)
    except OSError as error:
        raise WrongRequestError(
            f"{opened.path} cannot be written: {error.strerror}",
            "the draft is kept; save it under another name, or free the way",
        ) from error
    return opened._replace(content=content)


def _replace(target: Path, content: bytes) -> None:
    if not target.exists():
        replace_file(target, content, mode=NEW_FILE_MODE)
        return
    if not os.access(target, os.W_OK):
        raise PermissionError(13, "it is write-protected")
    status = target.stat()
    mode = stat.S_IMODE(status.st_mode)

    def keep_owner_and_mode(descriptor: int) -> None:
        with contextlib.suppress(PermissionError):
            # Only root may give a file away; the group may be kept where one belongs to it.
            os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, mode)

    replace_file(target, content, mode=mode, prepare=keep_owner_and_mode)
