"""What a chart shows: curves reduced to one bucket for each column of dots, whatever the number of points."""

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fttui.charts.braille import shown_span
from fttui.charts.columns import Column, MetricColumns, XAxis

if TYPE_CHECKING:
    from array import array

MOST_MARKS = 400
NEVER_SMOOTHED = ("eval_", "learning_rate", "epoch")
"""Metrics without noise, by how their names begin: smoothed, they would only lag behind themselves."""


@dataclass(frozen=True, slots=True)
class ChartRequest:
    """What somebody wants to see; the first run is the one that the chart is about."""

    runs: tuple[str, ...] = ()
    metric: str = "loss"
    x_axis: XAxis = "step"
    smoothing: float = 0.9
    is_log: bool = False
    window: tuple[float, float] | None = None
    """The part of the x axis that is shown, ``None`` for all."""
    dots: int = 140


class Bucket(NamedTuple):
    """The points that fall into one column of dots; smallest and largest are kept, for no spike is to be lost."""

    column: int
    x: float
    first: float
    low: float
    high: float
    last: float


@dataclass(frozen=True, slots=True)
class Curve:
    """One run's curve."""

    run_id: str
    raw: tuple[Bucket, ...] = ()
    smooth: tuple[Bucket, ...] = ()
    marks: tuple[tuple[float, float], ...] = ()
    """Evaluations."""
    broken: tuple[float, ...] = ()
    """Where the metric was no number."""
    best: float | None = None
    last: float | None = None
    last_x: float | None = None


@dataclass(frozen=True, slots=True)
class ChartPicture:
    """A chart, ready to be drawn in so many columns."""

    request: ChartRequest = ChartRequest()
    low: float = 0.0
    high: float = 1.0
    curves: tuple[Curve, ...] = ()
    metrics: tuple[str, ...] = ()
    """What else could be shown."""
    left_out: int = 0
    """Values that a logarithmic axis has no place for."""
    whole: tuple[float, float] = (0.0, 1.0)
    """The x axis when nothing is zoomed."""

    @property
    def is_smoothed(self) -> bool:
        """Whether there is a smoothed curve beside the points."""
        return self.request.smoothing > 0 and not self.request.metric.startswith(NEVER_SMOOTHED)

    @property
    def has_points(self) -> bool:
        """Whether there is anything to draw."""
        return any(curve.raw or curve.marks or curve.broken for curve in self.curves)


def take_picture(
    request: ChartRequest, runs: list[MetricColumns], max_steps: int | None = None
) -> ChartPicture:
    """Return what a chart of these runs shows."""
    axis = request.x_axis
    columns = [run.columns.get(request.metric) for run in runs]
    whole = (0.0, _whole_span(axis, runs, request.metric, max_steps))
    low, high = request.window or whole
    curves = [
        _curve(run, column, request, low, high)
        for run, column in zip(runs, columns, strict=True)
        if column is not None or run is runs[0]
    ]
    metrics = tuple(dict.fromkeys(name for run in runs for name in run.names))
    left_out = 0
    if request.is_log:
        left_out = sum(sum(1 for value in column.values if value <= 0) for column in columns if column)
    return ChartPicture(request, low, high, tuple(curves), metrics, left_out, whole)


def _whole_span(axis: XAxis, runs: list[MetricColumns], metric: str, max_steps: int | None) -> float:
    """Return where the x axis ends; it only ever doubles, so that a new point changes the last columns alone."""
    ends = [0.0]
    for run in runs:
        for name in (metric, f"eval_{metric}"):
            if column := run.columns.get(name):
                ends += [places[-1] for places in (column.places[axis], column.broken[axis]) if places]
    end = max(ends)
    if axis == "step":
        return float(shown_span(math.ceil(end), max_steps))
    return float(2.0 ** math.ceil(math.log2(max(8.0, end))))


def _curve(
    run: MetricColumns, column: Column | None, request: ChartRequest, low: float, high: float
) -> Curve:
    axis = request.x_axis
    if column is None:
        return Curve(run.run.id)
    places = column.places[axis]
    weight = 0.0 if request.metric.startswith(NEVER_SMOOTHED) else request.smoothing
    raw = reduce(places, column.values, low, high, request.dots)
    smooth = raw
    if weight > 0:
        smooth = reduce(places, column.smoothed(weight), low, high, request.dots)
    return Curve(
        run.run.id,
        raw,
        smooth,
        _marks(run.columns.get(f"eval_{request.metric}"), axis, low, high),
        tuple(place for place in column.broken[axis] if low <= place <= high)[:MOST_MARKS],
        min(column.values) if column.values else None,
        column.values[-1] if column.values else None,
        places[-1] if places else None,
    )


def _marks(column: Column | None, axis: XAxis, low: float, high: float) -> tuple[tuple[float, float], ...]:
    if column is None:
        return ()
    places = column.places[axis]
    start, end = bisect_left(places, low), bisect_right(places, high)
    start = max(start, end - MOST_MARKS)
    return tuple(zip(places[start:end], column.values[start:end], strict=True))


def reduce(
    places: "array[float]", values: "array[float]", low: float, high: float, dots: int
) -> tuple[Bucket, ...]:
    """Reduce the points between two places to one bucket per column of dots.

    The columns' edges are looked up and what lies between is left to ``min`` and ``max``: 30 ms for a million points,
    where a loop over the points takes half a second.
    """
    buckets: list[Bucket] = []
    start, end = bisect_left(places, low), bisect_right(places, high)
    width = (high - low) / max(1, dots - 1)
    while start < end:
        column = min(dots - 1, int((places[start] - low) / width)) if width > 0 else 0
        edge = end if column == dots - 1 else bisect_left(places, low + (column + 1) * width, start + 1, end)
        part = values[start:edge]
        buckets.append(Bucket(column, places[edge - 1], part[0], min(part), max(part), part[-1]))
        start = edge
    return tuple(buckets)
