"""A chart of any metric, of one run or of several, with a cursor to read values from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import Final

from textual import events
from textual.message import Message

from fttui import figures
from fttui.charts import braille
from fttui.charts.axes import (
    LABEL_WIDTH,
    ValueAxis,
    place_labels,
    place_text,
    value_axis,
    value_labels,
)
from fttui.charts.braille import Canvas
from fttui.charts.buckets import Bucket
from fttui.charts.picture import ChartPicture, Curve
from fttui.lines import Line, Role, Span, fit_line, line, rule, spread, wrap
from fttui.widgets.line_panel import LinePanel

ROLES: Final[tuple[Role, ...]] = ("accent", "warn", "good", "note", "bad", "strong")
"""The hues of the curves in their order; each also has a letter."""
LETTERS = "abcdef"
LEAST_COLUMNS, LEAST_ROWS = 12, 1


class MetricChart(LinePanel):
    """Draws a picture."""

    class Resized(Message):
        """There is room for a picture of another width."""

    def __init__(
        self,
        *,
        id: str | None = None,
        classes: str | None = None,
        is_small: bool = False,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._is_small = is_small
        self._picture = ChartPicture()
        self._absent = ""
        self._cursor: int | None = None

    @property
    def dots(self) -> int:
        """How many columns of dots there is room for."""
        return max(LEAST_COLUMNS, self.content_size.width - LABEL_WIDTH - 2) * 2

    @property
    def picture(self) -> ChartPicture:
        """What is shown."""
        return self._picture

    def on_resize(self, _event: events.Resize) -> None:
        """Say so; the base class, whose handler Textual calls too, draws what there is."""
        self.post_message(self.Resized())

    def show(self, picture: ChartPicture, absent: str, cursor: int | None = None) -> None:
        """Show a picture, with a cursor in one of its columns of text."""
        if (picture, absent, cursor) != (self._picture, self._absent, self._cursor):
            self._picture, self._absent, self._cursor = picture, absent, cursor
            self.redraw()

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading, legend, plot and labels; nothing where no metric is asked for."""
        if not self._picture.request.metric:
            return []
        heading = rule(title(self._picture), width, "" if self._is_small else remark(self._picture))
        legend = [] if self._is_small else [legend_line(self._picture, self._cursor, width)]
        rows, columns = height - 2 - len(legend), width - LABEL_WIDTH - 2
        if rows < LEAST_ROWS or columns < LEAST_COLUMNS:
            return [heading, *legend]
        if not self._picture.has_points:
            return [heading, *(line(" ", *one) for one in wrap(self._absent, width - 2, "dim"))]
        plot = plot_lines(spread_out(self._picture, columns), columns, rows, self._cursor)
        labels = Span(" " * (LABEL_WIDTH + 1) + place_labels(self._picture, columns), "dim")
        return [heading, *legend, *plot, fit_line((labels,), width)]


def spread_out(picture: ChartPicture, columns: int) -> ChartPicture:
    """Return a picture that was made for another width as it fits this one, until one that was made for it comes."""
    dots, made_for = columns * 2, picture.request.dots
    if dots == made_for:
        return picture

    def moved(buckets: tuple[Bucket, ...]) -> tuple[Bucket, ...]:
        return tuple(
            each._replace(column=each.column * (dots - 1) // max(1, made_for - 1)) for each in buckets
        )

    curves = tuple(
        replace(curve, raw=moved(curve.raw), smooth=moved(curve.smooth)) for curve in picture.curves
    )
    return replace(picture, curves=curves)


def title(picture: ChartPicture) -> str:
    """Return what the chart is about."""
    asked = picture.request
    return asked.metric if len(asked.runs) != 1 else f"{asked.metric}  {asked.runs[0]}"


def remark(picture: ChartPicture) -> str:
    """Return how the chart is drawn."""
    asked = picture.request
    parts = [f"x {asked.x_axis}", "log" if asked.is_log else "", _smoothing(picture)]
    parts.append("o eval" if any(curve.marks for curve in picture.curves) else "")
    parts.append(f"{picture.left_out} not above 0 left out" if picture.left_out else "")
    parts.append("zoomed" if asked.window else "")
    parts.append(f"a sample, {int(100 * picture.read_share)}% read" if picture.read_share < 1 else "")
    return "  ".join(part for part in parts if part)


def _smoothing(picture: ChartPicture) -> str:
    return f"smooth {picture.request.smoothing:g}" if picture.is_smoothed else ""


def legend_line(picture: ChartPicture, cursor: int | None, width: int) -> Line:
    """Return the values under the cursor, or else the last ones."""
    spans: list[Span] = []
    if cursor is not None:
        spans.append(
            Span(f" at {place_text(_place_of(picture, cursor, width), picture.request.x_axis)} ", "strong")
        )
    several = len(picture.curves) > 1
    for index, curve in enumerate(picture.curves):
        role = ROLES[index % len(ROLES)]
        if several:
            spans.append(Span(f" {LETTERS[index % len(LETTERS)]} {curve.run_id} ", role))
        if cursor is None:
            at = "" if curve.last_x is None else f" at {place_text(curve.last_x, picture.request.x_axis)}"
            spans.append(Span(f" {figures.loss(curve.last)}{at}", "plain"))
            if not several:
                spans.append(Span(f"   lowest {figures.loss(curve.best)}", "dim"))
        else:
            spans += _reading(picture, curve, cursor)
        spans.append(Span(" "))
    return spread(tuple(spans), (), width)


def _place_of(picture: ChartPicture, cursor: int, width: int) -> float:
    columns = max(2, width - LABEL_WIDTH - 2)
    return picture.low + (picture.high - picture.low) * min(1.0, cursor / (columns - 1))


def _reading(picture: ChartPicture, curve: Curve, cursor: int) -> list[Span]:
    """Return what a curve shows in a column of text, or in the nearest one to the left of it."""
    raw, smooth = _bucket_at(curve.raw, cursor), _bucket_at(curve.smooth, cursor)
    if raw is None or smooth is None:
        return [Span(" -", "dim")]
    at = place_text(raw.x, picture.request.x_axis)
    spans = [Span(f" {figures.loss(smooth.last)} at {at}")]
    if picture.is_smoothed and len(picture.curves) == 1:
        spans.append(Span(f"  raw {figures.loss(raw.last)}", "dim"))
    if raw.low != raw.high:
        spans.append(Span(f"  {figures.loss(raw.low)} to {figures.loss(raw.high)}", "dim"))
    marks = [mark for mark in curve.marks if mark[0] <= raw.x]
    if marks:
        spans.append(Span(f"  eval {figures.loss(marks[-1][1])}", "warn"))
    return spans


def _bucket_at(buckets: Sequence[Bucket], cursor: int) -> Bucket | None:
    return next((each for each in reversed(buckets) if each.column <= cursor * 2 + 1), None)


def plot_lines(picture: ChartPicture, columns: int, rows: int, cursor: int | None) -> list[Line]:
    """Draw the curves, the first on top of the others and on top of its own unsmoothed points."""
    axis = value_axis(picture, rows)
    curves = [
        (_drawn(curve.smooth, axis, columns, rows), ROLES[index % len(ROLES)])
        for index, curve in enumerate(picture.curves)
    ]
    points = None
    if len(picture.curves) == 1 and picture.is_smoothed:
        points = _drawn(picture.curves[0].raw, axis, columns, rows)
    layers = _Layers(_marks(picture, axis, columns, rows), curves, points, cursor)
    labels = value_labels(axis, rows * 4, rows)
    return [line(Span(f"{label} │", "dim"), *layers.row(y, columns)) for y, label in enumerate(labels)]


def _drawn(curve: Sequence[Bucket], axis: ValueAxis, columns: int, rows: int) -> Canvas:
    canvas = Canvas(columns, rows)
    shown = [each for each in curve if axis.has_place(each.high) and each.column < canvas.dot_columns]
    tops, bottoms, firsts, lasts = (
        axis.rows_of(values, canvas.dot_rows)
        for values in (
            [each.high for each in shown],
            [each.low for each in shown],
            [each.first for each in shown],
            [each.last for each in shown],
        )
    )
    places = [each.column for each in shown]
    braille.draw(canvas, list(map(braille.Bucket, places, tops, bottoms, firsts, lasts)))
    return canvas


def _marks(picture: ChartPicture, axis: ValueAxis, columns: int, rows: int) -> dict[tuple[int, int], Span]:
    """Return what stands in single cells: evaluations, values that were no numbers, and which curve is whose."""
    marks: dict[tuple[int, int], Span] = {}
    span = picture.high - picture.low or 1.0

    def column(place: float) -> int:
        return min(columns - 1, max(0, int((place - picture.low) / span * (columns * 2 - 1)) // 2))

    several = len(picture.curves) > 1
    for index, curve in enumerate(picture.curves):
        for place, value in curve.marks:
            if axis.has_place(value):
                at = axis.row_of(value, rows * 4) // 4, column(place)
                marks[at] = Span("o", ROLES[index % len(ROLES)] if several else "warn")
        for place in curve.broken:
            marks[0, column(place)] = Span("x", "bad")
        if several and curve.smooth and axis.has_place(curve.smooth[-1].last):
            last = curve.smooth[-1]
            at = axis.row_of(last.last, rows * 4) // 4, min(columns - 1, last.column // 2 + 1)
            marks[at] = Span(LETTERS[index % len(LETTERS)], ROLES[index % len(ROLES)])
    return marks


@dataclass(frozen=True, slots=True)
class _Layers:
    """What is drawn in the same cells, from the top to the ground."""

    marks: dict[tuple[int, int], Span]
    curves: Sequence[tuple[Canvas, Role]]
    points: Canvas | None
    """The unsmoothed points of a single curve: beside its line and not within, where they would make it look thick."""
    cursor: int | None

    def row(self, y: int, columns: int) -> Line:
        """Return one row of cells; 40 rows of 180 cells take 5 ms, where a span for each cell took 20."""
        cells = self._signs(y, columns)
        for (row, x), mark in self.marks.items():
            if row == y:
                cells[x] = (mark.text, mark.role)
        if self.cursor is not None and self.cursor < columns:
            sign = cells[self.cursor][0]
            cells[self.cursor] = ("┊" if sign == " " else sign, "strong")
        return tuple(
            Span("".join(sign for sign, _ in group), role)
            for role, group in groupby(cells, key=itemgetter(1))
        )

    def _signs(self, y: int, columns: int) -> list[tuple[str, Role]]:
        """Return the cells of the curves alone."""
        cells: list[tuple[str, Role]] = [(" ", "plain")] * columns
        if self.points:
            for x, bits in self.points.dots_of(y):
                cells[x] = (braille.sign(bits), "rule")
        found: dict[int, int] = {}
        # The first curve lies on top: its hue is the last one written, with the dots of all.
        for canvas, role in reversed(self.curves):
            for x, bits in canvas.dots_of(y):
                found[x] = found.get(x, 0) | bits
                cells[x] = (braille.sign(found[x]), role)
        return cells
