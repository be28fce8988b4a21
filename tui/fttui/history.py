"""The curves of a run, kept small while the run grows: a repaint must not touch a hundred thousand points."""

import math
from collections.abc import Sequence
from typing import Any

Point = tuple[int, float]

MOST_BUCKETS = 2_048
"""More than the dots of any chart are wide; up to so many logged steps a curve is kept point by point."""


LARGEST = 1e300
"""Beyond it differences overflow; nothing that is measured is as large."""
LAST_STEP = 10**15


def number(value: object) -> float | None:
    """Return a value if it is a number, not-a-number and the infinities included; what is too large is infinite."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return math.inf if value > LARGEST else -math.inf if value < -LARGEST else value


class Curve:
    """One metric over steps, in buckets of equal width that keep their first, smallest, largest and last point."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[Point]] = {}
        self._width = 1

    def add(self, step: int, value: float) -> None:
        """Add a point; when there are too many buckets, each two become one."""
        self._put((step, value))
        if len(self._buckets) > MOST_BUCKETS:
            points, self._buckets, self._width = self.points(), {}, self._width * 2
            for point in points:
                self._put(point)

    def _put(self, point: Point) -> None:
        number_of = point[0] // self._width
        bucket = self._buckets.get(number_of)
        if bucket is None:
            self._buckets[number_of] = [point]
        elif len(bucket) < 4 and math.isfinite(point[1]):
            bucket.append(point)
        else:
            self._buckets[number_of] = _reduced([*bucket, point])

    def points(self) -> tuple[Point, ...]:
        """Return the points that are kept, in the order of their steps."""
        return tuple(point for number_of in sorted(self._buckets) for point in self._buckets[number_of])


def _reduced(points: list[Point]) -> list[Point]:
    """Return the points of a bucket that a chart can show: the ends, the extremes, and one that is no number."""
    finite = [point for point in points if math.isfinite(point[1])]
    broken = [point for point in points if not math.isfinite(point[1])][:1]
    if not finite:
        return broken
    by_value = [min(finite, key=lambda point: point[1]), max(finite, key=lambda point: point[1])]
    return sorted({finite[0], finite[-1], *by_value}) + broken


class History:
    """What a run has logged so far; each update costs only what is new."""

    def __init__(self) -> None:
        self._start_over()

    def _start_over(self) -> None:
        self.losses, self.evaluations = Curve(), Curve()
        self.best_loss: float | None = None
        self._taken = 0
        self._last: dict[str, Any] | None = None

    def update(self, points: Sequence[dict[str, Any]]) -> None:
        """Take in the points that were added; if earlier ones were replaced, begin anew."""
        if self._taken > len(points) or (self._taken and points[self._taken - 1] is not self._last):
            self._start_over()
        for point in points[self._taken :]:
            self._add(point)
        self._taken = len(points)
        self._last = points[-1] if points else None

    def _add(self, point: dict[str, Any]) -> None:
        step = number(point.get("step"))
        if step is None or not 0 <= step <= LAST_STEP:
            return
        if (loss := number(point.get("loss"))) is not None:
            self.losses.add(int(step), loss)
            if math.isfinite(loss):
                self.best_loss = loss if self.best_loss is None else min(self.best_loss, loss)
        if (evaluation := number(point.get("eval_loss"))) is not None:
            self.evaluations.add(int(step), evaluation)


def latest(points: Sequence[dict[str, Any]], key: str) -> float | None:
    """Return the newest value of a metric among the last few lines; evaluation lines do not carry all of them."""
    return next((value for point in points[:-20:-1] if (value := number(point.get(key))) is not None), None)
