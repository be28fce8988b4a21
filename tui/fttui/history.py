"""The curves of a run, kept small while the run grows: a repaint must not touch a hundred thousand points."""

import math
from array import array
from bisect import bisect_left
from collections import deque
from typing import Any

from fttui_engine.runs.metrics import MetricNews

Point = tuple[int, float]

MOST_BUCKETS = 2_048
"""More than the dots of any chart are wide; up to so many logged steps a curve is kept point by point."""


LARGEST = 1e300
"""Beyond it differences overflow; nothing that is measured is as large."""
LAST_STEP = 10**15
RECENT_POINTS = 20


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
        self.losses, self.evaluations = Curve(), Curve()
        self.best_loss: float | None = None
        self._recent: deque[dict[str, Any]] = deque(maxlen=RECENT_POINTS)
        self._taken = 0
        self._logged: dict[str, _Logged] = {"loss": _Logged(), "eval_loss": _Logged()}

    def update(self, news: MetricNews) -> None:
        """Take in the points that were added; where earlier ones were replaced, those are forgotten."""
        if news.kept < self._taken:
            self._go_back_to(news.kept)
        for index, point in enumerate(news.points, news.kept):
            self._add(index, point)
        self._taken = news.kept + len(news.points)
        self._recent.extend(news.points[-RECENT_POINTS:])

    def latest(self, key: str) -> float | None:
        """Return the newest value of a metric among the last few lines; not all of them carry each."""
        values = (number(point.get(key)) for point in reversed(self._recent))
        return next((value for value in values if value is not None), None)

    def _go_back_to(self, kept: int) -> None:
        for _ in range(min(self._taken - kept, len(self._recent))):
            self._recent.pop()
        self.losses, self.evaluations, self.best_loss = Curve(), Curve(), None
        for key, logged in self._logged.items():
            logged.cut(kept)
            for step, value in zip(logged.steps, logged.values, strict=True):
                self._show(key, int(step), value)

    def _add(self, index: int, point: dict[str, Any]) -> None:
        step = number(point.get("step"))
        if step is None or not 0 <= step <= LAST_STEP:
            return
        for key, logged in self._logged.items():
            if (value := number(point.get(key))) is not None:
                logged.add(index, step, value)
                self._show(key, int(step), value)

    def _show(self, key: str, step: int, value: float) -> None:
        if key == "eval_loss":
            self.evaluations.add(step, value)
            return
        self.losses.add(step, value)
        if math.isfinite(value):
            self.best_loss = value if self.best_loss is None else min(self.best_loss, value)


class _Logged:
    """All values of one metric, 20 bytes each: what the curve is drawn from anew when training went back."""

    def __init__(self) -> None:
        self._points = array("I")
        self.steps, self.values = array("d"), array("d")

    def add(self, index: int, step: float, value: float) -> None:
        self._points.append(index)
        self.steps.append(step)
        self.values.append(value)

    def cut(self, kept: int) -> None:
        """Forget the points from the ``kept``-th on."""
        keep = bisect_left(self._points, kept)
        del self._points[keep:], self.steps[keep:], self.values[keep:]
