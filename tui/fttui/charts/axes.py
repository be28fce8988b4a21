"""The axes of a chart: from values to rows, from places to columns, and the labels of both."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fttui import figures
from fttui.charts.braille import nice_tick
from fttui.charts.picture import ChartPicture
from fttui.charts.request import XAxis

LABEL_WIDTH = 8
LOG_STEPS = {1.2: (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0), 3.0: (1.0, 2.0, 5.0), math.inf: (1.0,)}
"""What is labelled in each power of ten, by how many of them the axis covers."""


@dataclass(frozen=True, slots=True)
class ValueAxis:
    """The y axis; a logarithmic one counts in powers of ten."""

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool = False

    def row_of(self, value: float, rows: int) -> int:
        """Return the row, from the top, on which a value falls."""
        return self.rows_of((value,), rows)[0]

    def rows_of(self, values: Sequence[float], rows: int) -> list[int]:
        """Return the rows on which values fall; 1,500 of them, as many as a large chart has, take 0.4 ms."""
        heights = values
        if self.is_log:
            heights = [math.log10(value) if value > 0 else self.low for value in values]
        high, last = self.high, rows - 1
        scale = last / (high - self.low)
        found = [round((high - height) * scale) for height in heights]
        if found and (min(found) < 0 or max(found) > last):
            return [min(last, max(0, row)) for row in found]
        return found

    def has_place(self, value: float) -> bool:
        """Whether a value can be drawn at all."""
        return math.isfinite(value) and (value > 0 or not self.is_log)


def value_axis(picture: ChartPicture, rows: int) -> ValueAxis:
    """Choose an axis that ends on round numbers."""
    is_log = picture.request.is_log
    found = [
        value
        for curve in picture.curves
        # The points themselves are drawn only where there is a single curve.
        for bucket in (*(curve.raw if len(picture.curves) == 1 else ()), *curve.smooth)
        for value in (bucket.low, bucket.high)
    ]
    found += [value for curve in picture.curves for _, value in curve.marks]
    values = [value for value in found if math.isfinite(value) and (value > 0 or not is_log)]
    return _log_axis(values) if is_log else _linear_axis(values, max(2, rows // 2))


def _linear_axis(values: Sequence[float], ticks: int) -> ValueAxis:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low < 1e-12 * max(1.0, abs(high)):
        margin = abs(high) * 0.1 or 1.0
        low, high = low - margin, high + margin
    tick = nice_tick((high - low) / ticks)
    # Half ticks at the ends: whole ones would leave up to a third of a low chart empty.
    half = tick / 2
    low, high = math.floor(low / half) * half, math.ceil(high / half) * half
    first, last = math.ceil(low / tick - 1e-6), math.floor(high / tick + 1e-6)
    return ValueAxis(low, high, tuple(index * tick for index in range(first, last + 1)))


def _log_axis(values: Sequence[float]) -> ValueAxis:
    low, high = (math.log10(min(values)), math.log10(max(values))) if values else (0.0, 1.0)
    if high - low < 0.05:
        low, high = low - 0.1, high + 0.1
    decades = range(math.floor(low), math.ceil(high) + 1)
    steps = next(steps for most, steps in LOG_STEPS.items() if high - low < most)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return ValueAxis(
        low, high, tuple(tick for tick in ticks if tick > 0 and low <= math.log10(tick) <= high), is_log=True
    )


def value_labels(axis: ValueAxis, canvas_rows: int, rows: int) -> list[str]:
    """Return the labels at the left, one for each row of text."""
    labels = [""] * rows
    for tick in axis.ticks:
        labels[axis.row_of(tick, canvas_rows) // 4] = figures.loss(tick)
    return [label.rjust(LABEL_WIDTH - 1)[: LABEL_WIDTH - 1] for label in labels]


def place_labels(picture: ChartPicture, columns: int) -> str:
    """Return the labels of the x axis: round numbers and its end."""
    span = picture.high - picture.low
    if span <= 0:
        return ""
    axis = picture.request.x_axis
    tick = nice_tick(span / (5 if columns >= 40 else 2))
    if axis == "step":
        tick = max(1.0, float(round(tick)))
    first = math.ceil(picture.low / tick - 1e-9)
    places = [index * tick for index in range(first, math.floor(picture.high / tick + 1e-9) + 1)]
    places = [place for place in places if picture.high - place >= tick / 2 or place == picture.high]
    labels = [" "] * columns
    for place in (*places, picture.high):
        text = place_text(place, axis)
        centre = round((place - picture.low) / span * (columns - 1))
        start = min(max(0, centre - len(text) // 2), max(0, columns - len(text)))
        if all(sign == " " for sign in labels[max(0, start - 1) : start + len(text) + 1]):
            labels[start : start + len(text)] = list(text)[: columns - start]
    return "".join(labels)


def place_text(place: float, axis: XAxis) -> str:
    """Write a place on the x axis."""
    if axis == "time":
        return figures.duration(place)
    if axis == "tokens":
        return figures.count(place)
    return str(round(place))
