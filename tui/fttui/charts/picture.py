"""What a chart shows, ready to be drawn."""

import math
from dataclasses import dataclass

from fttui.charts.braille import shown_span
from fttui.charts.buckets import Bucket
from fttui.charts.columns import Column, MetricColumns
from fttui.charts.request import ChartRequest, XAxis

MOST_MARKS = 400
NEVER_SMOOTHED = ("eval_", "learning_rate", "epoch")
"""Metrics without noise, by how their names begin: smoothed, they would only lag behind themselves."""


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

    request: ChartRequest = ChartRequest()  # noqa: RUF009 - frozen: a constant
    low: float = 0.0
    high: float = 1.0
    curves: tuple[Curve, ...] = ()
    metrics: tuple[str, ...] = ()
    """What else could be shown."""
    left_out: int = 0
    """Values that a logarithmic axis has no place for."""
    whole: tuple[float, float] = (0.0, 1.0)
    """The x axis when nothing is zoomed."""
    read_share: float = 1.0
    """How much of a long history has been read; below 1 this is drawn from a sample of it."""

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
    left_out = sum(column.not_positive for column in columns if column) if request.is_log else 0
    return ChartPicture(request, low, high, tuple(curves), metrics, left_out, whole)


def _whole_span(axis: XAxis, runs: list[MetricColumns], metric: str, max_steps: int | None) -> float:
    """Return where the x axis ends; it only ever doubles, so that a new point changes the last columns alone.

    Where nothing more comes, because the last step is there, it ends with the last point.
    """
    shown = [
        column
        for run in runs
        for name in (metric, f"eval_{metric}")
        if (column := run.columns.get(name)) is not None
    ]
    last_step, end = (
        max((column.last_place(each) for column in shown), default=0.0) for each in ("step", axis)
    )
    if axis == "step":
        return float(shown_span(math.ceil(end), max_steps))
    if max_steps and last_step >= max_steps and end > 0:
        return end
    return float(2.0 ** math.ceil(math.log2(max(8.0, end))))


def _curve(
    run: MetricColumns, column: Column | None, request: ChartRequest, low: float, high: float
) -> Curve:
    axis = request.x_axis
    if column is None:
        return Curve(run.run.id)
    # Between two points of a sample lie hundreds, of which a smoothed curve would know the last few.
    is_bare = run.is_sample or request.metric.startswith(NEVER_SMOOTHED)
    weight = 0.0 if is_bare else request.smoothing
    return Curve(
        run.run.id,
        column.reduced(axis, 0.0, low, high, request.dots),
        column.reduced(axis, weight, low, high, request.dots),
        _marks(run.columns.get(f"eval_{request.metric}"), axis, low, high),
        column.broken_between(axis, low, high, MOST_MARKS),
        column.best,
        column.values[-1] if column.values else None,
        column.place(axis, -1) if column.values else None,
    )


def _marks(column: Column | None, axis: XAxis, low: float, high: float) -> tuple[tuple[float, float], ...]:
    if column is None:
        return ()
    return column.last_between(axis, low, high, MOST_MARKS)
