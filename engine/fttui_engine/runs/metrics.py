"""The numbers of a run: one object per logged step, appended by rank 0, followed by any number of viewers."""

import json
import os
from array import array
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fttui_engine.runs.files import NON_FINITE, Json, append_line, finite_number, parse_line

BLOCK_BYTES = 64 * 1024
"""What is decoded at a time: 1 ms, in which no other thread of this process runs."""
LONGEST_LINE_BYTES = 4 * 2**20
"""Ours have some hundred bytes; what is longer counts as garbled and is not held in memory."""


class MetricsWriter:
    """Appends to ``metrics.jsonl``; one writer at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, point: Json) -> None:
        """Append one object; NaN and Infinity are kept as their names, since JSON has no numbers for them."""
        append_line(self._path, point)


class MetricNews(NamedTuple):
    """What a look at the metrics brought."""

    kept: int
    """How many of the points that were there before still stand; training went back behind the others."""
    points: list[Json]
    """What comes after those."""


class MetricOrder:
    """Puts logged points in order: a step that was done again after a crash counts once, as it was done last.

    It remembers nine bytes for each point and not the point: a run of a week logs millions.
    """

    def __init__(self) -> None:
        self._steps = array("d")
        """The step of each point; for one without a step that of the one before, since it goes when that goes."""
        self._kinds = bytearray()

    def __len__(self) -> int:
        return len(self._steps)

    def take(self, points: list[Json]) -> MetricNews:
        """Add points in the order in which they were written."""
        steps, kinds = self._steps, self._kinds
        kept, news = len(steps), list[Json]()
        last = steps[-1] if steps else -1.0
        for point in points:
            step = point.get("step")
            if type(step) is not int or step > 2**53:
                step = finite_number(step)
            kind = _EVALUATION if "eval_loss" in point else _TRAINING
            if step is None:
                step, kind = last, _NO_STEP
            elif step <= last:
                keep = self._first_to_go(step, kind)
                del steps[keep:], kinds[keep:]
                del news[max(0, keep - kept) :]
                kept = min(kept, keep)
            news.append(point)
            steps.append(step)
            kinds.append(kind)
            last = step
        return MetricNews(kept, news)

    def _first_to_go(self, step: float, kind: int) -> int:
        """Return the first point that a point of this step and kind replaces, together with all that follow it.

        A step has at most one training and one evaluation line, so the other kind of the same step is no return.
        """
        keep = len(self._steps)
        for index in reversed(range(len(self._steps))):
            if self._kinds[index] == _NO_STEP:
                continue
            if self._steps[index] < step:
                break
            if self._steps[index] > step or self._kinds[index] == kind:
                keep = index
        return keep


_TRAINING, _EVALUATION, _NO_STEP = range(3)


class MetricsFollower:
    """Reads ``metrics.jsonl`` as it grows; each ``poll`` costs only what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start_over()

    def _start_over(self) -> None:
        self._offset = 0
        self._size = 0
        self._inode = 0
        self._order = MetricOrder()
        self.garbled_lines = 0
        self.has_more = False
        """Whether the last poll left lines for the next."""

    @property
    def read_share(self) -> float:
        """How much of the file has been read, 0 to 1."""
        return self._offset / self._size if self.has_more else 1.0

    def poll(self, most_bytes: int | None = None) -> MetricNews | None:
        """Return what is new, ``None`` where nothing is; a file that was cut or replaced is read from its start.

        ``most_bytes`` bounds what is read in one go, in whole blocks; then ``has_more`` tells of the rest.
        """
        before = len(self._order)
        try:
            status = os.stat(self._path)
        except OSError:
            if not self._inode:
                return None
            self._start_over()
            return MetricNews(0, [])
        if is_new_file := status.st_ino != self._inode or status.st_size < self._offset:
            self._start_over()
            self._inode = status.st_ino
        self._size = status.st_size
        if not is_new_file and self._size == self._offset:
            return None
        kept, points = (0 if is_new_file else before), list[Json]()
        offset = self._offset
        for news in self._read(most_bytes):
            del points[max(0, news.kept - kept) :]
            kept = min(kept, news.kept)
            points += news.points
        changed = is_new_file or self._offset != offset
        return MetricNews(kept, points) if changed else None

    def _read(self, most_bytes: int | None) -> "list[MetricNews]":
        """Read block by block up to the last whole line, or until enough is read."""
        found, end = list[MetricNews](), self._offset + most_bytes if most_bytes else None
        self.has_more = False
        try:
            file = self._path.open("rb")
        except OSError:
            return found
        with file:
            file.seek(self._offset)
            while lines := _whole_lines(file, self._offset):
                self._offset += lines.size_bytes
                points, garbled = decode(lines.content)
                self.garbled_lines += garbled + lines.is_too_long
                found.append(self._order.take(points))
                if end is not None and self._offset >= end:
                    self.has_more = self._offset < self._size
                    break
        return found


class _Lines(NamedTuple):
    content: bytes
    size_bytes: int
    is_too_long: bool = False


def _whole_lines(file: BinaryIO, offset: int) -> _Lines | None:
    """Return the lines of the next block; a last line without newline is not yet there."""
    file.seek(offset)
    block = file.read(BLOCK_BYTES)
    if end := block.rfind(b"\n") + 1:
        return _Lines(block[:end], end)
    parts, size_bytes = [block], len(block)
    while block := file.read(BLOCK_BYTES):
        if end := block.find(b"\n") + 1:
            return _Lines(b"".join((*parts, block[:end])), size_bytes + end)
        parts.append(block)
        size_bytes += len(block)
        if size_bytes > LONGEST_LINE_BYTES:
            return _Lines(b"", size_bytes, is_too_long=True)
    return None


def decode(lines: bytes) -> tuple[list[Json], int]:
    """Return the objects of whole lines, and how many lines were garbled.

    Whole lines that are all well are decoded as one list: half the time of one after the other.
    """
    try:
        found = json.loads(b"[" + lines[:-1].replace(b"\n", b",") + b"]")
    except (ValueError, RecursionError):
        found = []
    if len(found) != lines.count(b"\n") or not all(type(each) is dict for each in found):
        parsed = [parse_line(line) for line in lines.split(b"\n") if line.strip()]
        found = [each for each in parsed if each is not None]
        garbled = len(parsed) - len(found)
    else:
        garbled = 0
    if b'NaN"' in lines or b'Infinity"' in lines:
        found = [_with_numbers(point) for point in found]
    return found, garbled


def _with_numbers(point: Json) -> Json:
    return {key: NON_FINITE.get(item, item) if isinstance(item, str) else item for key, item in point.items()}


def read_metrics(path: Path) -> list[Json]:
    """Return all points of ``metrics.jsonl``; steps that were redone replace the earlier ones."""
    news = MetricsFollower(path).poll()
    return news.points if news else []


def sample_metrics(path: Path, count: int) -> list[Json]:
    """Return about so many points from all over a large file, the first and the newest line among them."""
    found = list[Json]()
    try:
        file = path.open("rb")
    except OSError:
        return found
    with file:
        size_bytes = file.seek(0, os.SEEK_END)
        for index in range(count):
            file.seek(max(0, size_bytes * index // count - 1))
            if index:
                file.readline(LONGEST_LINE_BYTES)
            if point := parse_line(file.readline(LONGEST_LINE_BYTES)):
                found.append(_with_numbers(point))
        file.seek(max(0, size_bytes - BLOCK_BYTES))
        last = [point for line in file.read(BLOCK_BYTES).split(b"\n")[1:] if (point := parse_line(line))]
    return found + [_with_numbers(point) for point in last[-1:]]
