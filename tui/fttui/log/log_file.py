"""A log by offsets: from any place to the line there, the next and the one before, without reading what lies between.

Lines are found by their newlines, and a line without end is cut at fixed places: at each multiple of ``BLOCK_BYTES``
before which lies a whole block without a newline. So where a line begins depends on at most two blocks before it: a
progress bar of 500 MB in one line costs no more than any other, and what was found once stays true while the file grows.
"""

import os
from bisect import bisect_right
from pathlib import Path
from typing import Literal, NamedTuple

from fttui_engine.runs.log_cut import Hole, holes_of

BLOCK_BYTES = 64 * 1024
KEPT_BLOCKS = 64

Change = Literal["", "cut", "truncated", "replaced", "gone"]


class Piece(NamedTuple):
    """A line, a part of one that is too long, or a hole of the file; ``end`` is where the next one starts."""

    start: int
    end: int
    raw: bytes
    """Its bytes without the newline; of a hole, words that say so."""


class LogFile:
    """One file as it grows; after each ``refresh`` it is as long as ``size`` says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._descriptor = -1
        self._identity = (0, 0)
        self._blocks: dict[int, bytes] = {}
        self._holes: list[Hole] = []

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._identity, self.size = -1, (0, 0), 0
        self._blocks.clear()
        self._holes = []

    def refresh(self) -> Change:
        """Take note of how long the file is now, and say whether what stood in it is no longer there."""
        try:
            status = os.stat(self.path)
        except OSError:
            was_there = self._descriptor >= 0
            self.close()
            return "gone" if was_there else ""
        replaced = self._descriptor >= 0 and (status.st_dev, status.st_ino) != self._identity
        if replaced:
            self.close()
        if self._descriptor < 0:
            try:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError:
                return "gone" if replaced else ""
            status = os.fstat(self._descriptor)
            self._identity = (status.st_dev, status.st_ino)
        before, self.size = self.size, status.st_size
        was_cut = self._look_for_holes()
        if self.size < before or was_cut:
            self._blocks.clear()
        if replaced or self.size < before:
            return "replaced" if replaced else "truncated"
        return "cut" if was_cut and before else ""

    def _look_for_holes(self) -> bool:
        """Take note of what was cut out of the file, and say whether there is more of it than before."""
        holes, self._holes = self._holes, holes_of(self._descriptor)
        return self._holes != holes

    def hole_at(self, offset: int) -> Hole | None:
        """Return the hole in which an offset lies."""
        index = bisect_right(self._holes, offset, key=lambda hole: hole.start) - 1
        return self._holes[index] if index >= 0 and offset < self._holes[index].end else None

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes of a range, fewer where the file has become shorter meanwhile."""
        parts: list[bytes] = []
        while start < end and self._descriptor >= 0:
            try:
                part = os.pread(self._descriptor, end - start, start)
            except OSError:
                break
            if not part:
                break
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def start_of(self, offset: int) -> int:
        """Return where the piece begins in which an offset lies."""
        if hole := self.hole_at(offset):
            return hole.start
        while offset > 0:
            if offset % BLOCK_BYTES == 0 and b"\n" not in self._block(offset // BLOCK_BYTES - 1):
                return offset
            number = (offset - 1) // BLOCK_BYTES
            newline = self._block(number).rfind(b"\n", 0, offset - number * BLOCK_BYTES)
            offset = number * BLOCK_BYTES
            if newline >= 0:
                return offset + newline + 1
        return 0

    def at(self, start: int) -> Piece | None:
        """Return the piece that begins at an offset, ``None`` at the end of the file."""
        if not 0 <= start < self.size:
            return None
        if hole := self.hole_at(start):
            return Piece(start, hole.end, hole.note.encode())
        end = self._end_of(start)
        raw = self.read(start, end)
        return Piece(start, end, raw.removesuffix(b"\n")) if raw else None

    def before(self, start: int) -> Piece | None:
        """Return the piece that ends where another begins, ``None`` at the start of the file."""
        return self.at(self.start_of(min(start, self.size) - 1)) if min(start, self.size) > 0 else None

    def _end_of(self, start: int) -> int:
        index = bisect_right(self._holes, start, key=lambda hole: hole.start)
        end = self._end_of_line(start)
        return min(end, self._holes[index].start) if index < len(self._holes) else end

    def _end_of_line(self, start: int) -> int:
        end = start
        for number in (start // BLOCK_BYTES, start // BLOCK_BYTES + 1):
            block = self._block(number)
            newline = block.find(b"\n", max(0, start - number * BLOCK_BYTES))
            if newline >= 0:
                return number * BLOCK_BYTES + newline + 1
            end = (number + 1) * BLOCK_BYTES
            if end >= self.size:
                return self.size
            if b"\n" not in block:
                return end
        return end

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number)
        if block is None:
            block = self.read(number * BLOCK_BYTES, min(self.size, (number + 1) * BLOCK_BYTES))
            if len(block) == BLOCK_BYTES:
                if len(self._blocks) >= KEPT_BLOCKS:
                    del self._blocks[next(iter(self._blocks))]
                self._blocks[number] = block
        return block
