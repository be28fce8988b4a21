"""The files of a run as they may be handed on: without weights, bounded in size, secrets masked.

A recording is what a bug report carries and what the screens replay. What people put into names, prompts and logs
stays in it: only what is known to be a secret by its name or its shape can be masked.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from fttui_engine.runs.files import SCHEMA, Json, finite_number, read_json_or_none
from fttui_engine.runs.run import Run

INFO_NAME = "recording.json"
CHECKPOINTS_NAME = "recorded-checkpoints.json"

HEAD_BYTES, TAIL_BYTES = 64 << 10, 1 << 20
"""What is kept of a log or history: how it began, and its end."""
MOST_BYTES = 4 << 20
"""Of any other file; a longer one is left out, because half of it could not be read."""

TEXT_SUFFIXES = frozenset({"", ".json", ".jsonl", ".yaml", ".yml", ".log", ".txt"})
LEFT_OUT = frozenset({"checkpoints", "lock", "keeper.lock"})

MASK = "********"
# By name: a word that ends in one of these, then = or :, then what is no number, no path and no template's mark. What
# the word begins with is not looked for: in a line of a megabyte without spaces that would take hours.
NAMED = re.compile(
    r"""(?ix) ( (?: token | secret | password | passwd | (?: api | access | secret | private | auth | encryption )_?key | credentials? ) ["']? \s* [=:] \s* ["']? )
    (?! null\b | none\b | true\b | false\b | [\d.]+ [\s,}"'] ) ( [^\s"'<,}{\[\]()]{6,} )"""
)
SHAPED = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}|\bsk-[A-Za-z0-9_-]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bAKIA[0-9A-Z]{16}\b"
    r"|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,}|(?<=Bearer )[\w.~+/-]{8,}|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)


def masked(text: str) -> str:
    """Return a text without what looks like a secret."""
    return SHAPED.sub(MASK, NAMED.sub(rf"\g<1>{MASK}", text))


def starred(text: str) -> str:
    """Return a text of the same length in which stars stand for what looks like a secret: for screens."""
    named = NAMED.sub(lambda found: found[1] + "*" * len(found[2]), text)
    return SHAPED.sub(lambda found: "*" * len(found[0]), named)


def run_files(run: Run) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a run for a recording: the name within its folder, and what may be handed on of it."""
    for folder, folders, names in os.walk(run.path):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name in LEFT_OUT or name.startswith(".") or path.suffix not in TEXT_SUFFIXES:
                continue
            content = _bounded(path)
            if content is not None:
                yield str(path.relative_to(run.path)), _without_secrets(content)


def _without_secrets(content: bytes) -> bytes:
    text = content.decode("utf-8", "surrogateescape")
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(re.escape(home) + r"(?=[/\"'\s]|$)", "~", text)
    return masked(text).encode("utf-8", "surrogateescape")


def _bounded(path: Path) -> bytes | None:
    if path.is_symlink() or not path.is_file():
        return None
    size = path.stat().st_size
    is_history = path.suffix in ("", ".log", ".jsonl")
    with path.open("rb") as file:
        if size <= (HEAD_BYTES + TAIL_BYTES if is_history else MOST_BYTES):
            return file.read(MOST_BYTES)
        if not is_history:
            return None
        head = file.read(HEAD_BYTES)
        file.seek(size - TAIL_BYTES)
        tail = file.read(TAIL_BYTES)
    head, tail = head[: head.rfind(b"\n") + 1], tail[tail.find(b"\n") + 1 :]
    gap = (
        b""
        if path.suffix == ".jsonl"
        else b"[%d bytes are not in this recording]\n" % (size - len(head) - len(tail))
    )
    return head + gap + tail


def recorded_at(folder: Path) -> float | None:
    """Return when a recording was made, ``None`` where the folder is none."""
    info = read_json_or_none(folder / INFO_NAME)
    return finite_number(info.get("recorded_at")) if info else None


def recording_info(moment: float, version: str, hardware: Json) -> Json:
    """Return what a recording says of itself."""
    return {"schema": SCHEMA, "recorded_at": moment, "fttui": version, "hardware": hardware}
