"""The metrics of one run as columns of numbers, which grow with it."""

import math
from array import array
from collections.abc import Sequence
from typing import Any, Literal

from fttui.charts.smoothing import Smoothing
from fttui.history import LAST_STEP, number
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.metrics import MetricsFollower
from fttui_engine.runs.run import Run

XAxis = Literal["step", "time", "tokens"]
X_AXES: tuple[XAxis, ...] = ("step", "time", "tokens")

NOT_METRICS = frozenset({"step", "time", "attempt", "tokens"})
"""What tells where a point lies, not what was measured there."""
MOST_METRICS = 200


class Column:
    """One metric: its finite values with their places on each axis, and where it was no number."""

    def __init__(self) -> None:
        self.values = array("d")
        self.places: dict[XAxis, array[float]] = {axis: array("d") for axis in X_AXES}
        self.broken: dict[XAxis, array[float]] = {axis: array("d") for axis in X_AXES}
        self._smoothed: dict[float, Smoothing] = {}

    def add(self, value: float, places: dict[XAxis, float]) -> None:
        """Add a point."""
        finite = math.isfinite(value)
        for axis, place in places.items():
            (self.places if finite else self.broken)[axis].append(place)
        if finite:
            self.values.append(value)

    def smoothed(self, weight: float) -> "array[float]":
        """Return the values as an exponential moving average; only what is new is computed."""
        if weight <= 0:
            return self.values
        if weight not in self._smoothed:
            self._smoothed[weight] = Smoothing(weight)
        return self._smoothed[weight].up_to(self.values)


class MetricColumns:
    """All metrics of a run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._follower = MetricsFollower(run.metrics_path)
        self._start_over()

    def _start_over(self) -> None:
        self.columns: dict[str, Column] = {}
        self._taken = 0
        self._last: dict[str, Any] | None = None
        self._first_time: float | None = None
        # A clock that was set back must not make a curve run backwards.
        self._place: dict[XAxis, float] = dict.fromkeys(X_AXES, 0.0)

    def poll(self) -> None:
        """Take in what was logged since; steps that were done again replace the earlier ones."""
        if not self._follower.poll():
            return
        points = self._follower.points
        if self._taken > len(points) or (self._taken and points[self._taken - 1] is not self._last):
            self._start_over()
        for point in points[self._taken :]:
            self._add(point)
        self._taken = len(points)
        self._last = points[-1] if points else None

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that were logged, the loss first."""
        return tuple(sorted(self.columns, key=lambda name: (name != "loss", name.startswith("eval_"), name)))

    @property
    def evaluated(self) -> Sequence[str]:
        """The metrics that were also measured on other data."""
        return [name for name in self.columns if f"eval_{name}" in self.columns]

    def _add(self, point: dict[str, Any]) -> None:
        places = self._places(point)
        if places is None:
            return
        for name, raw in point.items():
            value = number(raw) if name not in NOT_METRICS else None
            if value is None:
                continue
            if column := self._column(one_line(name)):
                column.add(float(value), places)

    def _column(self, name: str) -> Column | None:
        if name not in self.columns and len(self.columns) < MOST_METRICS:
            self.columns[name] = Column()
        return self.columns.get(name)

    def _places(self, point: dict[str, Any]) -> dict[XAxis, float] | None:
        step = _finite(point.get("step"))
        if step is None or not 0 <= step <= LAST_STEP:
            return None
        time = _finite(point.get("time"))
        if time is not None and self._first_time is None:
            self._first_time = time
        new = {
            "step": step,
            "time": None if time is None or self._first_time is None else time - self._first_time,
            "tokens": _finite(point.get("tokens")),
        }
        for axis in X_AXES:
            if (place := new[axis]) is not None:
                self._place[axis] = max(self._place[axis], place)
        return dict(self._place)


def _finite(value: object) -> float | None:
    found = number(value)
    return float(found) if found is not None and math.isfinite(found) else None
