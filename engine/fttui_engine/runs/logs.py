"""Text that others wrote: reading the end of a log of any size, and taking its power over the terminal away."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fttui_engine.runs.log_cut import holes_of

BLOCK_BYTES = 64 * 1024
LONGEST_LINE_CHARACTERS = 4_000
"""A longer line is cut when shown: a progress bar without newlines became one line of 500 MB before now."""

_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor moves, screen modes
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, ...: title, clipboard
    r"|\x1b[ -/]*[0-~]"  # two-character escapes
)
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but newline and tab, DEL, C1
    r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"  # direction marks that make text read as another
)


def plain_text(text: str) -> str:
    """Return ``text`` without anything that a terminal would obey; newlines and tabs stay."""
    if "\x1b" in text or not text.isascii():
        text = _SEQUENCES.sub("", text)
    return _CONTROLS.sub("", text)


def one_line(text: str) -> str:
    """Return ``text`` as one harmless line, for tables and titles."""
    return plain_text(text.replace("\n", " ").replace("\t", " "))


def log_lines(content: bytes) -> list[str]:
    """Return the lines of a piece of log as a terminal would have left them, but inert.

    Of a line that a progress bar overwrote with carriage returns, the last version stays.
    """
    lines = []
    for raw in content.decode("utf-8", "replace").split("\n"):
        line = raw.rstrip("\r")
        line = line[line.rfind("\r") + 1 :]
        lines.append(plain_text(line[:LONGEST_LINE_CHARACTERS]))
    return lines


def tail(path: Path, lines: int) -> list[str]:
    """Return the last ``lines`` lines of a log, reading no more of the file than needed: at most 64 MiB, and no further
    back than to where something was cut out, which is then the first line.
    """
    if lines <= 0:
        return []
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            hole = next(reversed(holes_of(file.fileno())), None)
            stop = max(0, position - 1024 * BLOCK_BYTES, hole.end if hole else 0)
            blocks: list[bytes] = []
            newlines = 0
            while position > stop and newlines <= lines:
                start = max(stop, position - BLOCK_BYTES)
                file.seek(start)
                blocks.append(file.read(position - start))
                newlines += blocks[-1].count(b"\n")
                position = start
    except OSError:
        return []
    found = log_lines(b"".join(reversed(blocks)))
    if found and not found[-1]:
        found.pop()
    if hole and position == hole.end:
        found.insert(0, hole.note)
    return found[-lines:]


def read_log(path: Path) -> Iterator[str]:
    """Yield all lines of a log, holding no more than two blocks of it however long a line is; holes are named."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        for hole in holes_of(file.fileno()):
            yield from _lines_until(file, hole.start)
            yield hole.note
            file.seek(hole.end)
        yield from _lines_until(file, sys.maxsize)


def _lines_until(file: BinaryIO, end: int) -> Iterator[str]:
    left = end - file.tell()
    while left > 0 and (line := file.readline(min(BLOCK_BYTES, left))):
        left -= len(line)
        while not line.endswith(b"\n") and (more := file.readline(min(BLOCK_BYTES, left))):
            left -= len(more)
            latest = line[line.rstrip(b"\r").rfind(b"\r") + 1 :]
            line = latest[: 4 * LONGEST_LINE_CHARACTERS] + more  # no character has more than four bytes
        yield from log_lines(line.rstrip(b"\n"))


class LogFollower:
    """Yields the lines that are added to a log; starts at the present end, or at the start of the file."""

    def __init__(self, path: Path, *, from_start: bool = False) -> None:
        self._path = path
        self._rest = b""
        self._offset = 0
        if not from_start:
            try:
                self._offset = path.stat().st_size
            except OSError:
                self._offset = 0

    def poll(self) -> list[str]:
        """Return the complete lines added since the last call; a file that was cut is followed from its start."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._offset:
                    self._offset, self._rest = 0, b""
                noted = self._skip_hole(file)
                file.seek(self._offset)
                added = file.read(1024 * BLOCK_BYTES)
        except OSError:
            return []
        self._offset += len(added)
        complete, newline, rest = (self._rest + added).rpartition(b"\n")
        self._rest = rest[-LONGEST_LINE_CHARACTERS * 4 :]
        return noted + (log_lines(complete) if newline else [])

    def _skip_hole(self, file: BinaryIO) -> list[str]:
        """Go on behind a hole that it stands in, and name it."""
        for hole in holes_of(file.fileno()):
            if hole.start <= self._offset < hole.end:
                self._offset, self._rest = hole.end, b""
                return [hole.note]
        return []

    def rest(self) -> list[str]:
        """Return what stands after the last newline, when nothing more will come."""
        return [line for line in log_lines(self._rest) if line]
