"""Reads the metrics of several runs for the charts; lives on a thread of its own."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fttui.charts.columns import MetricColumns, sample
from fttui.charts.picture import ChartPicture, take_picture
from fttui.charts.request import ChartRequest
from fttui_engine.runs.home import runs_folder
from fttui_engine.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

PART_BYTES, PART_SECONDS = 2**18, 0.2
"""A history of a million steps takes 4 s to read: it is read in parts, and meanwhile a sample of it is shown."""


class ChartReader:
    """Keeps the metrics of the runs that are looked at."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._runs: dict[str, MetricColumns] = {}
        self._samples: dict[str, MetricColumns] = {}
        self.wanted: tuple[tuple[ChartRequest, ...], int | None] = ((), None)
        """What is to be drawn, and how many steps the first run will take; replaced as a whole by another thread."""

    @property
    def has_more(self) -> bool:
        """Whether there is more to read at once."""
        return any(run.read_share < 1 for run in self._runs.values())

    def look(self) -> tuple[ChartPicture, ...]:
        """Return a picture for each request."""
        requests, max_steps = wanted = self.wanted
        ids = dict.fromkeys(run_id for request in requests for run_id in request.runs)
        self._runs = {run_id: self._runs.get(run_id) or self._follow(run_id) for run_id in ids}
        self._read(wanted)
        return tuple(self._picture(each, max_steps) for each in requests if each.runs)

    def _read(self, wanted: object) -> None:
        until = time.monotonic() + PART_SECONDS
        for run in self._runs.values():
            run.poll(PART_BYTES)
            # A first picture comes before the rest is read, and so does one that was asked for meanwhile.
            while run.read_share < 1 and run.run.id in self._samples and time.monotonic() < until:
                if self.wanted is not wanted:
                    break
                run.poll(PART_BYTES)
        self._samples = {
            run_id: self._samples.get(run_id) or sample(run.run)
            for run_id, run in self._runs.items()
            if run.read_share < 1
        }

    def _picture(self, request: ChartRequest, max_steps: int | None) -> ChartPicture:
        runs: Sequence[str] = request.runs
        columns = [self._samples.get(run_id) or self._runs[run_id] for run_id in runs]
        share = min(self._runs[run_id].read_share for run_id in runs)
        return replace(take_picture(request, columns, max_steps), read_share=share)

    def _follow(self, run_id: str) -> MetricColumns:
        return MetricColumns(Run(runs_folder(self._home) / run_id))
