"""Reads the metrics of several runs for the charts; lives on a thread of its own."""

from collections.abc import Sequence
from pathlib import Path

from fttui.charts.columns import MetricColumns
from fttui.charts.picture import ChartPicture, ChartRequest, take_picture
from fttui_engine.runs.home import runs_folder
from fttui_engine.runs.run import Run


class ChartReader:
    """Keeps the metrics of the runs that are looked at."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._runs: dict[str, MetricColumns] = {}
        self.wanted: tuple[tuple[ChartRequest, ...], int | None] = ((), None)
        """What is to be drawn, and how many steps the first run will take; replaced as a whole by another thread."""

    def look(self) -> tuple[ChartPicture, ...]:
        """Return a picture for each request."""
        requests, max_steps = self.wanted
        ids = dict.fromkeys(run_id for request in requests for run_id in request.runs)
        self._runs = {run_id: self._runs.get(run_id) or self._follow(run_id) for run_id in ids}
        for run in self._runs.values():
            run.poll()
        return tuple(take_picture(each, self._of(each.runs), max_steps) for each in requests if each.runs)

    def _of(self, ids: Sequence[str]) -> list[MetricColumns]:
        return [self._runs[run_id] for run_id in ids]

    def _follow(self, run_id: str) -> MetricColumns:
        return MetricColumns(Run(runs_folder(self._home) / run_id))
