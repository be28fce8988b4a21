"""The loss of the selected run over its steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fttui import figures
from fttui.charts.braille import Axes, Canvas, broken_columns, nice_axes, nice_tick, plot
from fttui.history import Point
from fttui.lines import Line, Span, fit, fit_line, fit_right, line, rule, wrap
from fttui.widgets.line_panel import LinePanel

LABEL_WIDTH = 7
MIN_PLOT_WIDTH = 8


@dataclass(frozen=True, slots=True)
class LossCurve:
    """What the chart shows: the training loss, the evaluations, and why there may be nothing yet."""

    title: str = "loss"
    points: tuple[Point, ...] = ()
    evaluations: tuple[Point, ...] = ()
    max_steps: int | None = None
    absent: str = ""


class LossChart(LinePanel):
    """Draws a loss curve in braille."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._curve = LossCurve()

    def show(self, curve: LossCurve) -> None:
        """Show a curve; drawing is skipped if it is the one already shown."""
        if curve != self._curve:
            self._curve = curve
            self.redraw()

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return the chart's lines."""
        return chart_lines(self._curve, width, height)


def chart_lines(curve: LossCurve, width: int, height: int) -> list[Line]:
    """Draw a titled chart of this size: plot, value labels at the left, steps below."""
    heading = rule(curve.title, width, "o eval" if curve.evaluations else "")
    rows, columns = height - 2, width - LABEL_WIDTH - 2
    if rows < 1 or columns < MIN_PLOT_WIDTH:
        return [heading]
    if not curve.points:
        return [heading, *(line(" ", *one) for one in wrap(curve.absent, width - 2, "dim"))]
    axes = nice_axes((*curve.evaluations, *curve.points), curve.max_steps, max(2, rows // 2))
    canvas = Canvas(columns, rows)
    plot(canvas, curve.points, axes)
    cells = _with_marks(canvas, curve, axes)
    body = [
        line(Span(f"{label} │", "dim"), *row)
        for label, row in zip(value_labels(axes, canvas), cells, strict=True)
    ]
    return [heading, *body, step_labels(axes, columns, width)]


def _with_marks(canvas: Canvas, curve: LossCurve, axes: Axes) -> list[Line]:
    marks: dict[tuple[int, int], Span] = {}
    for step, value in curve.evaluations:
        if axes.low <= value <= axes.high:
            marks[canvas.row_of(value, axes) // 4, canvas.column_of(step, axes) // 2] = Span("o", "warn")
    for column in broken_columns(curve.points, canvas, axes):
        marks[0, column] = Span("x", "bad")
    rows = canvas.rows()
    return [
        _marked(text, {x: span for (row, x), span in marks.items() if row == y})
        for y, text in enumerate(rows)
    ]


def _marked(text: str, marks: dict[int, Span]) -> Line:
    spans: list[Span] = []
    start = 0
    for x in sorted(marks):
        spans += [Span(text[start:x], "accent"), marks[x]]
        start = x + 1
    return (*spans, Span(text[start:], "accent"))


def value_labels(axes: Axes, canvas: Canvas) -> list[str]:
    """Label the rows on which a multiple of the tick falls."""
    labels = [" " * LABEL_WIDTH] * canvas.height
    first, last = math.ceil(axes.low / axes.tick - 1e-6), math.floor(axes.high / axes.tick + 1e-6)
    for index in range(first, last + 1):
        value = index * axes.tick
        labels[canvas.row_of(value, axes) // 4] = fit_right(figures.loss(value), LABEL_WIDTH)
    return labels


def step_labels(axes: Axes, columns: int, width: int) -> Line:
    """Label the x axis at round steps and at its end."""
    tick = max(1, round(nice_tick(axes.last_step / (5 if columns >= 40 else 2))))
    labels = [" "] * (columns + 4)
    for step in (*range(0, axes.last_step - tick // 2, tick), axes.last_step):
        text = str(step)
        centre = step * (columns - 1) // axes.last_step
        start = min(max(0, centre - len(text) // 2), columns - len(text))
        labels[start : start + len(text)] = list(text)
    return fit_line(line(Span(fit("", LABEL_WIDTH + 2) + "".join(labels).rstrip(), "dim")), width)
