"""The numbers of a run: one object per logged step, appended by rank 0, followed by any number of viewers."""

import os
from pathlib import Path

from fttui_engine.runs.files import NON_FINITE, Json, append_line, finite_number, read_lines


class MetricsWriter:
    """Appends to ``metrics.jsonl``; one writer at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, point: Json) -> None:
        """Append one object; NaN and Infinity are kept as their names, since JSON has no numbers for them."""
        append_line(self._path, point)


class MetricsFollower:
    """Reads ``metrics.jsonl`` as it grows; each ``poll`` costs only what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start_over()

    def _start_over(self) -> None:
        self._offset = 0
        self._inode = 0
        self._last_step = -1.0
        self.points: list[Json] = []
        """All points in order; a step that was done again after a crash stands here once, as it was done last."""
        self.garbled_lines = 0

    def poll(self) -> bool:
        """Read what is new and say whether anything was; a file that was cut or replaced is read from its start."""
        try:
            status = os.stat(self._path)
        except OSError:
            if self._inode:
                self._start_over()
                return True
            return False
        if status.st_ino != self._inode or status.st_size < self._offset:
            self._start_over()
            self._inode = status.st_ino
        elif status.st_size == self._offset:
            return False
        before = self._offset
        for line in read_lines(self._path, self._offset):
            self._offset = line.end_offset
            if line.value is None:
                self.garbled_lines += 1
            else:
                self._add(line.value)
        return self._offset != before

    def _add(self, point: Json) -> None:
        point = {
            key: NON_FINITE.get(item, item) if isinstance(item, str) else item for key, item in point.items()
        }
        step = _step(point)
        if step is not None:
            if step <= self._last_step:
                self._forget_from(step, is_evaluation=_is_evaluation(point))
            self._last_step = step
        self.points.append(point)

    def _forget_from(self, step: float, *, is_evaluation: bool) -> None:
        """Drop what was written from this line's like on: training went back there.

        A step has at most one training and one evaluation line, so the other kind of the same step is no return.
        """
        keep = len(self.points)
        for index in reversed(range(len(self.points))):
            earlier = _step(self.points[index])
            if earlier is None:
                continue
            if earlier < step:
                break
            if earlier > step or _is_evaluation(self.points[index]) == is_evaluation:
                keep = index
        del self.points[keep:]


def read_metrics(path: Path) -> list[Json]:
    """Return all points of ``metrics.jsonl``; steps that were redone replace the earlier ones."""
    follower = MetricsFollower(path)
    follower.poll()
    return follower.points


def _step(point: Json) -> float | None:
    return finite_number(point.get("step"))


def _is_evaluation(point: Json) -> bool:
    return "eval_loss" in point
