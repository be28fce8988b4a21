"""The metrics of one run as columns of numbers, which grow with it."""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import Any

from fttui.charts.buckets import Bucket, Reduction
from fttui.charts.request import X_AXES, XAxis
from fttui.charts.smoothing import Smoothing
from fttui.history import LARGEST, LAST_STEP, number
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.metrics import MetricNews, MetricOrder, MetricsFollower, sample_metrics
from fttui_engine.runs.run import Run

NOT_METRICS = frozenset({"step", "time", "attempt", "tokens"})
"""What tells where a point lies, not what was measured there."""
MOST_METRICS = 200
POINTS_OF_A_SAMPLE = 2_000
MOST_REDUCTIONS = 8


class Places:
    """Where each point lies on each axis; a clock that was set back must not make a curve run backwards."""

    def __init__(self) -> None:
        self.on: dict[XAxis, array[float]] = {axis: array("d") for axis in X_AXES}
        self._first_time: float | None = None

    def __len__(self) -> int:
        return len(self.on["step"])

    def cut(self, kept: int) -> None:
        """Forget the points from the ``kept``-th on."""
        for places in self.on.values():
            del places[kept:]

    def add(self, points: Sequence[dict[str, Any]]) -> None:
        """Add points, in their order."""
        times = [_finite(point.get("time")) for point in points]
        if self._first_time is None:
            self._first_time = next((time for time in times if time is not None), None)
        begin = self._first_time or 0.0
        new: dict[XAxis, list[float | None]] = {
            "step": [_step(point) for point in points],
            "time": [None if time is None else time - begin for time in times],
            "tokens": [_finite(point.get("tokens")) for point in points],
        }
        for axis, found in new.items():
            last = self.on[axis][-1] if self.on[axis] else 0.0
            known = (last if place is None else place for place in found)
            self.on[axis].extend(list(accumulate(known, max, initial=last))[1:])


class Column:
    """One metric: its finite values, the points that they belong to, and those where it was no number."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.values = array("d")
        self.points = array("I")
        self.broken_points = array("I")
        self.best: float | None = None
        self.not_positive = 0
        """How many values a logarithmic axis has no place for."""
        self._smoothed: dict[float, Smoothing] = {}
        self._reductions: dict[tuple[XAxis, float, int], Reduction] = {}

    def add(self, first: int, found: Sequence[object]) -> None:
        """Add the values of points that follow each other, the first of them the ``first``-th of the run."""
        if _are_plain(found):
            self.values.extend(found)  # type: ignore[arg-type]
            self.points.extend(range(first, first + len(found)))
            self._count(self.values[-len(found) :])
            return
        for index, raw in enumerate(found, first):
            value = number(raw)
            if value is None:
                continue
            if not math.isfinite(value):
                self.broken_points.append(index)
                continue
            self.values.append(value)
            self.points.append(index)
            self._count(self.values[-1:])

    def cut(self, kept: int) -> None:
        """Forget the points from the ``kept``-th on."""
        keep = bisect_left(self.points, kept)
        del self.values[keep:], self.points[keep:]
        del self.broken_points[bisect_left(self.broken_points, kept) :]
        self._smoothed, self._reductions = {}, {}
        self.best, self.not_positive = None, 0
        if self.values:
            self._count(self.values)

    def _count(self, values: "array[float]") -> None:
        lowest = min(values)
        self.best = lowest if self.best is None else min(self.best, lowest)
        if lowest <= 0:
            self.not_positive += sum(1 for value in values if value <= 0)

    def place(self, axis: XAxis, index: int) -> float:
        """Return where the value of that index lies; -1 is the last one."""
        return self._places.on[axis][self.points[index]]

    def broken_between(self, axis: XAxis, low: float, high: float, most: int) -> tuple[float, ...]:
        """Return where it was no number, the first ``most`` places between two."""
        places = self._places.on[axis]
        start = bisect_left(self.broken_points, low, key=places.__getitem__)
        found = (places[point] for point in self.broken_points[start : start + most])
        return tuple(place for place in found if place <= high)

    def last_between(
        self, axis: XAxis, low: float, high: float, most: int
    ) -> tuple[tuple[float, float], ...]:
        """Return places and values between two places, the last ``most`` of them."""
        places = self._places.on[axis]
        end = bisect_right(self.points, high, key=places.__getitem__)
        start = max(bisect_left(self.points, low, key=places.__getitem__), end - most)
        return tuple((places[self.points[index]], self.values[index]) for index in range(start, end))

    def last_place(self, axis: XAxis) -> float:
        """Return the last place where anything was measured, 0 where nothing was."""
        last = [points[-1] for points in (self.points, self.broken_points) if points]
        return self._places.on[axis][max(last)] if last else 0.0

    def smoothed(self, weight: float) -> "array[float]":
        """Return the values as an exponential moving average; only what is new is computed."""
        if weight <= 0:
            return self.values
        if weight not in self._smoothed:
            self._smoothed[weight] = Smoothing(weight)
        return self._smoothed[weight].up_to(self.values)

    def reduced(self, axis: XAxis, weight: float, low: float, high: float, dots: int) -> tuple[Bucket, ...]:
        """Return the curve between two places in so many columns of dots; only what is new is reduced."""
        key = (axis, weight, dots)
        known = self._reductions.get(key)
        if known is None or (known.low, known.high) != (low, high):
            if len(self._reductions) >= MOST_REDUCTIONS:
                self._reductions.clear()
            known = self._reductions[key] = Reduction(low, high, dots)
        return known.up_to(self._places.on[axis], self.points, self.smoothed(weight))


class MetricColumns:
    """All metrics of a run."""

    def __init__(self, run: Run, *, is_sample: bool = False) -> None:
        self.run, self.is_sample = run, is_sample
        self._follower = MetricsFollower(run.metrics_path)
        self._places = Places()
        self.columns: dict[str, Column] = {}

    @property
    def read_share(self) -> float:
        """How much of the metrics has been read, 0 to 1."""
        return self._follower.read_share

    def poll(self, most_bytes: int | None = None) -> None:
        """Take in what was logged since; steps that were done again replace the earlier ones."""
        if news := self._follower.poll(most_bytes):
            self.take(news)

    def take(self, news: MetricNews) -> None:
        """Take in points."""
        if news.kept < len(self._places):
            self._places.cut(news.kept)
            for column in self.columns.values():
                column.cut(news.kept)
        first = len(self._places)
        self._places.add(news.points)
        for names, group in groupby(news.points, key=tuple):
            points = list(group)
            if len(points) == 1 or all(_step(point) is not None for point in points):
                self._add(first, names, points)
            else:
                for index, point in enumerate(points, first):
                    self._add(index, names, [point])
            first += len(points)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that were logged, the loss first."""
        return tuple(sorted(self.columns, key=lambda name: (name != "loss", name.startswith("eval_"), name)))

    @property
    def evaluated(self) -> Sequence[str]:
        """The metrics that were also measured on other data."""
        return [name for name in self.columns if f"eval_{name}" in self.columns]

    def _add(self, first: int, names: tuple[str, ...], points: list[dict[str, Any]]) -> None:
        if _step(points[0]) is None:
            return
        for name in names:
            if name in NOT_METRICS:
                continue
            found = [point[name] for point in points]
            if any(number(value) is not None for value in found) and (column := self._column(one_line(name))):
                column.add(first, found)

    def _column(self, name: str) -> Column | None:
        if name not in self.columns and len(self.columns) < MOST_METRICS:
            self.columns[name] = Column(self._places)
        return self.columns.get(name)


def sample(run: Run) -> MetricColumns:
    """Return some points from all over a run's metrics: enough for a first picture of a long history."""
    columns = MetricColumns(run, is_sample=True)
    columns.take(MetricOrder().take(sample_metrics(run.metrics_path, POINTS_OF_A_SAMPLE)))
    return columns


def _are_plain(found: Sequence[object]) -> bool:
    """Whether all are finite numbers of a size to count with; looks at all of them in C."""
    if not set(map(type, found)) <= {float, int}:
        return False
    low, high = min(found), max(found)  # type: ignore[type-var]
    # A NaN anywhere makes the sum one, wherever min and max have missed it.
    return low >= -LARGEST and high <= LARGEST and not math.isnan(math.fsum(found))  # type: ignore


def _step(point: dict[str, Any]) -> float | None:
    step = point.get("step")
    if type(step) is not int:
        step = _finite(step)
    return step if step is not None and 0 <= step <= LAST_STEP else None


def _finite(value: object) -> float | None:
    if type(value) is float and -LARGEST < value < LARGEST:
        return value
    found = number(value)
    return float(found) if found is not None and math.isfinite(found) else None
