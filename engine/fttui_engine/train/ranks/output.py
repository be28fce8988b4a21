"""The lines of the ranks behind the first one, marked as theirs in the log that all share."""

import sys
from typing import TextIO


class MarkedLines:
    """A text stream that writes whole lines, each behind the rank that it comes from, and each in one piece."""

    def __init__(self, stream: TextIO, rank: int) -> None:
        self._stream = stream
        self._mark = f"[rank{rank}]: "
        self._rest = ""

    def write(self, text: str) -> int:
        """Write what ends with a newline and keep the rest until its own comes."""
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            self._stream.write("".join(f"{self._mark}{line}\n" for line in lines))
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Do nothing: whole lines are written at once."""

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def mark_lines(rank: int) -> None:
    """Have all that Python writes in this process marked; what native code writes comes as it is."""
    sys.stdout = MarkedLines(sys.stdout, rank)
    sys.stderr = MarkedLines(sys.stderr, rank)
