"""Numbers of lines: counted a slice at a time, remembered once per MiB."""

import time
from array import array

from fttui.log.log_file import LogFile

SLICE_BYTES = 1024 * 1024
"""One number for so many bytes: 80 kB for a log of 10 GB. Counting a slice takes some 0.1 ms."""


class LineCounter:
    """Counts the newlines of a file from its start; until it is through, lines have no number."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._newlines_before = array("q", [0])

    @property
    def is_behind(self) -> bool:
        """Whether there are whole slices left to count."""
        return len(self._newlines_before) * SLICE_BYTES <= self._file.size

    def count_on(self, seconds: float) -> None:
        """Count one more slice, and others as long as there is time."""
        deadline = time.monotonic() + seconds
        while self.is_behind:
            start = (len(self._newlines_before) - 1) * SLICE_BYTES
            hole = self._file.hole_at(start)
            is_missing = hole is not None and hole.end >= start + SLICE_BYTES
            newlines = 0 if is_missing else self._file.read(start, start + SLICE_BYTES).count(b"\n")
            self._newlines_before.append(self._newlines_before[-1] + newlines)
            if time.monotonic() >= deadline:
                return

    def number_of(self, offset: int) -> int | None:
        """Return the number, from 1, of the line in which an offset lies, ``None`` where it is not known yet."""
        if offset // SLICE_BYTES >= len(self._newlines_before):
            return None
        index = offset // SLICE_BYTES
        before = self._file.read(index * SLICE_BYTES, offset).count(b"\n")
        return self._newlines_before[index] + before + 1
