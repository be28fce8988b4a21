"""What a search has found so far, while another process goes on looking."""

import contextlib
import json
import os
import subprocess
import sys
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import overload

from fttui.log.log_file import LogFile
from fttui.log.scan import RECORD

MOST_MATCHES = 1_000_000
"""So many are kept, the newest (8 MB); the others are only counted."""


class Search(Sequence[int]):
    """The offsets of the matching lines, in order; ``poll`` takes in what was found since."""

    def __init__(self, file: LogFile, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._file = file
        # The scan goes from the end to the start, and then on with what is added: two lists that grow at their ends.
        self._older, self._newer = array("q"), array("q")
        self._end = self._low = self._high = self._asked = file.size
        self.found = 0
        self._unread = b""
        path = os.fsencode(file.path).hex()
        questions, self._questions = os.pipe()
        self._answers, answers = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fttui.log.scan"],
            stdin=questions,
            stdout=answers,
            stderr=subprocess.DEVNULL,  # the terminal belongs to the screens
        )
        os.close(questions)
        os.close(answers)
        os.set_blocking(self._answers, False)
        self._say(json.dumps({"path": path, "patterns": list(patterns), "end": file.size}))

    def close(self) -> None:
        """End the search, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        os.close(self._questions)
        os.close(self._answers)

    @property
    def low(self) -> int:
        """Everything from here to the end has been scanned."""
        return self._low

    @property
    def is_complete(self) -> bool:
        """Whether nothing older can be found any more, because all is scanned or too much was found."""
        return self._low == 0 or len(self._older) >= MOST_MATCHES

    @property
    def is_busy(self) -> bool:
        """Whether there is more to come."""
        return self._process.poll() is None and (self._low > 0 or self._high < self._asked)

    @property
    def failed(self) -> bool:
        """Whether the search ended before its time."""
        return self._process.poll() is not None

    @property
    def scanned_percent(self) -> int:
        """How much of the file has been looked at."""
        return 100 if not self._end else (self._end - self._low) * 100 // self._end

    def poll(self) -> bool:
        """Take in what was found, and say whether anything changed; pass on that the file has grown."""
        if self._low == 0 and self._high == self._asked and self._file.size > self._asked:
            self._asked = self._file.size
            self._say(str(self._asked))
        read = self._read()
        position = 0
        while len(read) - position >= RECORD.size:
            low, high, count = RECORD.unpack_from(read, position)
            end = position + RECORD.size + count * 8
            if end > len(read):
                break
            self._take(low, high, array("q", read[position + RECORD.size : end]))
            position = end
        self._unread = read[position:]
        return position > 0

    def index_at(self, offset: int) -> int:
        """Return how many of the kept matches lie before an offset."""
        return bisect_left(self, offset)

    def __len__(self) -> int:
        return len(self._older) + len(self._newer)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        index = index + len(self) if index < 0 else index
        if not 0 <= index < len(self):
            raise IndexError(index)
        older = len(self._older)
        return self._older[older - 1 - index] if index < older else self._newer[index - older]

    def _take(self, low: int, high: int, found: "array[int]") -> None:
        if high <= self._low or low < self._low:
            self._low = low
            self.found += len(found)
            room = max(0, MOST_MATCHES - len(self._older))
            self._older.extend(reversed(found[-room:] if room else found[:0]))
            return
        # What was found in a line that was still incomplete is found again, or not any more.
        before = len(self)
        while self._newer and self._newer[-1] >= low:
            self._newer.pop()
        while not self._newer and self._older and self._older[0] >= low:
            del self._older[0]
        self._newer.extend(found)
        self.found += len(self) - before
        self._high = high

    def _read(self) -> bytes:
        parts = [self._unread]
        while True:
            try:
                part = os.read(self._answers, 1 << 20)
            except BlockingIOError:
                break
            if not part:
                break
            parts.append(part)
        return b"".join(parts)

    def _say(self, text: str) -> None:
        # Where the process ended by itself, what it found stays.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._questions, text.encode() + b"\n")
