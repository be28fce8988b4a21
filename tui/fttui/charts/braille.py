"""A line chart out of braille dots (2 x 4 in each cell), drawn by pure functions.

Every column shows the smallest and the largest value that fall into it: a mean would hide the spikes that a person
looks for. Buckets are fixed while a run goes on (the shown span only ever doubles), so that a new point changes the
last columns and nothing else.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fttui.history import Point

# Bits of the dots of a braille cell, from top to bottom, in its left and its right column (Unicode 2800).
DOT_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
BRAILLE_BASE = 0x2800
NICE_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Axes:
    """What a chart covers: steps 0 to ``last_step`` and values from ``low`` to ``high``."""

    last_step: int
    low: float
    high: float
    tick: float


def shown_span(last_step: int, max_steps: int | None) -> int:
    """Return the last step on the x axis: the run's end, halved for as long as the newest point still fits.

    So at least half of the chart is in use, the end of a run fills it exactly, and in between the scale changes
    only each time the step count has doubled.
    """
    if max_steps and max_steps >= last_step:
        span = max_steps
        while span > 8 and span // 2 >= last_step:
            span = (span + 1) // 2
        return max(1, span)
    return max(8, 1 << max(0, last_step - 1).bit_length())


def nice_axes(points: Sequence[Point], max_steps: int | None, ticks: int) -> Axes:
    """Choose axes that end on round numbers; values that are no numbers do not count."""
    finite = [value for _, value in points if math.isfinite(value)]
    last_step = points[-1][0] if points else 0
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if high - low < 1e-12 * max(1.0, abs(high)):
        margin = abs(high) * 0.1 or 1.0
        low, high = low - margin, high + margin
    tick = nice_tick((high - low) / max(1, ticks))
    # Half ticks at the ends: whole ones would leave up to a third of a low chart empty.
    half = tick / 2
    span = shown_span(last_step, max_steps)
    return Axes(span, math.floor(low / half) * half, math.ceil(high / half) * half, tick)


def nice_tick(rough: float) -> float:
    """Return the next round number: 1, 2, 2.5 or 5 times a power of ten."""
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(
        (step * magnitude for step in NICE_STEPS if step * magnitude >= rough * 0.999), 10 * magnitude
    )


class Canvas:
    """A grid of dots that becomes rows of text."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.dot_columns, self.dot_rows = width * 2, height * 4
        self._cells = [[0] * width for _ in range(height)]

    def column_of(self, step: int, axes: Axes) -> int:
        """Return the column of dots in which a step falls."""
        return min(self.dot_columns - 1, step * (self.dot_columns - 1) // axes.last_step)

    def row_of(self, value: float, axes: Axes) -> int:
        """Return the row of dots, from the top, on which a value falls."""
        fraction = (axes.high - value) / (axes.high - axes.low)
        return min(self.dot_rows - 1, max(0, round(fraction * (self.dot_rows - 1))))

    def stroke(self, column: int, top: int, bottom: int) -> None:
        """Set the dots of one column from one row to another."""
        for row in range(min(top, bottom), max(top, bottom) + 1):
            self._cells[row // 4][column // 2] |= DOT_BITS[column % 2][row % 4]

    def dots_of(self, row: int) -> list[tuple[int, int]]:
        """Return the cells of a row that anything was drawn in, each with its dots."""
        return [(column, bits) for column, bits in enumerate(self._cells[row]) if bits]

    def rows(self) -> list[str]:
        """Return the rows as text."""
        return ["".join(sign(bits) for bits in row) for row in self._cells]


def sign(bits: int) -> str:
    """Return the dots of a cell as a character; for terminals without braille ``ascii_only`` has another."""
    return chr(BRAILLE_BASE | bits) if bits else " "


@dataclass(slots=True)
class Bucket:
    """What falls into one column of dots: the rows it spans, and the rows it enters and leaves by."""

    column: int
    top: int
    bottom: int
    first: int
    last: int


def buckets(points: Iterable[Point], canvas: Canvas, axes: Axes) -> list[Bucket]:
    """Reduce points in the order of their steps to one bucket for each column that has any."""
    found: list[Bucket] = []
    for step, value in points:
        if not math.isfinite(value):
            continue
        column, row = canvas.column_of(step, axes), canvas.row_of(value, axes)
        if found and found[-1].column == column:
            bucket = found[-1]
            bucket.top, bucket.bottom, bucket.last = min(bucket.top, row), max(bucket.bottom, row), row
        else:
            found.append(Bucket(column, row, row, row, row))
    return found


def plot(canvas: Canvas, points: Sequence[Point], axes: Axes) -> None:
    """Draw points as one connected line."""
    draw(canvas, buckets(points, canvas, axes))


def draw(canvas: Canvas, reduced: Sequence[Bucket]) -> None:
    """Draw buckets as one connected line."""
    for bucket in reduced:
        canvas.stroke(bucket.column, bucket.top, bucket.bottom)
    for before, after in pairwise(reduced):
        _connect(canvas, before, after)


def _connect(canvas: Canvas, before: Bucket, after: Bucket) -> None:
    """Join two neighbouring buckets: each column in between takes its share of the climb."""
    columns = after.column - before.column
    row = before.last
    for offset in range(1, columns + 1):
        target = before.last + round((after.first - before.last) * offset / columns)
        if offset < columns:
            canvas.stroke(before.column + offset, row, target)
        elif abs(target - row) > 1:
            canvas.stroke(after.column, row + (1 if target > row else -1), target)
        row = target


def broken_columns(points: Iterable[Point], canvas: Canvas, axes: Axes) -> set[int]:
    """Return the text columns that hold a value that is no number, for the chart to mark."""
    return {canvas.column_of(step, axes) // 2 for step, value in points if not math.isfinite(value)}
