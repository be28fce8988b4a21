"""Finds the lines of a log that match, in a process of its own: ``python -m fttui.log.scan``.

A regular expression that somebody types can take for ever, and Python's hold the interpreter while they run: in a
thread of the screens they would freeze them. This process can be killed. It is told on its standard input what to look
for, scans from the end of the file to its start, then whatever the file was said to have grown by, and reports blocks of
offsets on its standard output.
"""

import json
import os
import re
import signal
import struct
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

from fttui.log.line_text import plain
from fttui.log.log_file import BLOCK_BYTES, LogFile

CHUNK_BYTES = 1024 * 1024
RECORD = struct.Struct("<qqq")
"""What a report begins with: the range that was scanned, and how many offsets follow."""

_PLAIN_WORDS = re.compile(r"[\w /:=,%@#<>!~-]+", re.ASCII)
_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BY_LINE_ONLY = re.compile(r"\\[AZ]|\(\?")
"""What may mean another thing in a text of many lines than in each of them."""


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern as it is meant: capitals count only if it has any; raises ``re.error``."""
    return re.compile(pattern, 0 if any(letter.isupper() for letter in pattern) else re.IGNORECASE)


class Scanner:
    """Looks for lines in which every one of some patterns is found."""

    def __init__(self, file: LogFile, patterns: list[str]) -> None:
        self._file = file
        self._patterns = [compiled(pattern) for pattern in patterns]
        self._over_many = (
            None
            if any(map(_BY_LINE_ONLY.search, patterns))
            else re.compile(patterns[0], self._patterns[0].flags | re.M)
        )
        # A chunk without one of these words holds no match; finding that out takes a thousandth of the time.
        self._words = [
            (pattern.encode(), pattern == pattern.lower())
            for pattern in patterns
            if _PLAIN_WORDS.fullmatch(pattern)
        ]

    def backwards(self, end: int) -> Iterator[tuple[int, int, "array[int]"]]:
        """Yield ranges and the matches in them, from the end of the file to its start."""
        high = end
        while high > 0:
            low = self._file.start_of(max(0, high - CHUNK_BYTES))
            if hole := self._file.hole_at(low):
                low = hole.end if hole.end < high else hole.start
            yield low, high, self.matches(low, high)
            high = low

    def forwards(self, start: int, end: int) -> Iterator[tuple[int, int, "array[int]"]]:
        """Yield what was added to a file."""
        while start < end:
            if hole := self._file.hole_at(start):
                high = min(hole.end, end)
            else:
                high = self._file.start_of(start + CHUNK_BYTES) if end - start > CHUNK_BYTES else end
            yield start, high, self.matches(start, high)
            start = high

    def matches(self, low: int, high: int) -> "array[int]":
        """Return where the matching pieces of a range begin; it starts and ends with whole pieces."""
        if hole := self._file.hole_at(low):
            # Not read: it may be larger than memory.
            return array("q", [low] if self._fits(hole.note) else [])
        data = self._file.read(low, high)
        if b"\x1b" not in data and any(
            word not in (data.lower() if any_case else data) for word, any_case in self._words
        ):
            return array("q")
        if self._over_many and data.isascii() and not _may_have_long_line(data):
            text = data.decode("ascii")
            if not _ODD.search(text):
                return self._in_many_lines(low, text, self._over_many)
        return self._line_by_line(low, high, data)

    def _in_many_lines(self, low: int, text: str, pattern: re.Pattern[str]) -> "array[int]":
        """Jump from match to match: ten times as fast as asking every line."""
        found = array("q")
        start = 0
        while (match := pattern.search(text, start)) and match.start() < len(text):
            line_start = text.rfind("\n", start, match.start()) + 1 or start
            line_end = text.find("\n", match.start())
            line_end = len(text) if line_end < 0 else line_end
            # A match that reaches into the next line is none; there may be a shorter one.
            is_in_line = match.end() <= line_end and len(self._patterns) == 1
            if is_in_line or self._fits(text[line_start:line_end]):
                found.append(low + line_start)
            start = line_end + 1
        return found

    def _line_by_line(self, low: int, high: int, data: bytes) -> "array[int]":
        found = array("q")
        start = low
        for raw in data.split(b"\n"):
            if len(raw) >= BLOCK_BYTES:
                # With its newline, which is a part of its own where the line ends with a block.
                found.extend(self._in_long_line(start, min(high, start + len(raw) + 1)))
            elif start < high and self._fits(plain(raw)):
                found.append(start)
            start += len(raw) + 1
        return found

    def _in_long_line(self, start: int, end: int) -> Iterator[int]:
        while start < end and (piece := self._file.at(start)):
            if self._fits(plain(piece.raw)):
                yield start
            start = piece.end

    def _fits(self, text: str) -> bool:
        return all(pattern.search(text) for pattern in self._patterns)


def _may_have_long_line(data: bytes) -> bool:
    """Whether a line may be so long that it is cut in parts, which have ends and beginnings of their own."""
    half = BLOCK_BYTES // 2
    return any(data.find(b"\n", start, start + half) < 0 for start in range(0, len(data) - half, half))


def main() -> None:
    """Scan what the standard input says; it ends when that is closed."""
    parent = os.getppid()

    def leave_with_parent(*_: object) -> None:
        # The only look outside during a search without end: Python runs signal handlers between its steps.
        if os.getppid() != parent:
            os._exit(0)

    signal.signal(signal.SIGALRM, leave_with_parent)
    signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked = json.loads(sys.stdin.buffer.readline())
    file = LogFile(Path(os.fsdecode(bytes.fromhex(asked["path"]))))
    file.refresh()
    end = min(int(asked["end"]), file.size)
    scanner = Scanner(file, asked["patterns"])
    for report in scanner.backwards(end):
        _tell(*report)
    for line in sys.stdin.buffer:
        # The line at the end may have been incomplete when it was looked at.
        file.refresh()
        start, end = file.start_of(max(0, end - 1)), min(int(line), file.size)
        for report in scanner.forwards(start, end):
            _tell(*report)


def _tell(low: int, high: int, found: "array[int]") -> None:
    sys.stdout.buffer.write(RECORD.pack(low, high, len(found)) + found.tobytes())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
