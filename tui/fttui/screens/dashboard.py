"""The dashboard: the machine, all runs, and the selected one at a glance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType

from fttui.keys import bindings
from fttui.screens.run_detail import curve_of, speaks
from fttui.screens.run_screen import RunScreen
from fttui.snapshot import NOWHERE, Snapshot
from fttui.widgets.event_list import EventList
from fttui.widgets.facts import Facts
from fttui.widgets.gpu_panel import GpuPanel, wanted_height
from fttui.widgets.header import HeaderLine
from fttui.widgets.key_line import KeyLine
from fttui.widgets.log_tail import LogTail
from fttui.widgets.loss_chart import LossChart
from fttui.widgets.panes import Columns, Rows
from fttui.widgets.prompt import Prompt
from fttui.widgets.run_table import ROWS_TITLE, RunTable, matching
from fttui_engine.runs.summary import RunSummary

WIDE = 180
"""From this width on, the selected run stands beside the table instead of below it."""
TALL = 36
EVENTS, FACTS, LEAST_LOG = 6, 8, 4
"""Lines of the events, of all facts about a run, and of a log that still says what goes on."""


@dataclass(frozen=True, slots=True)
class Heights:
    """Lines of each part; the log takes what is left."""

    gpus: int
    runs: int
    curve: int
    events: int


def heights(width: int, height: int, gpus_wanted: int, runs: int) -> Heights:
    """Share out the lines of a terminal; the smallest that shows every part is 80x24."""
    gpus = min(gpus_wanted, 1 + max(2, height // 5))
    body = max(4, height - 2 - gpus)
    if width >= WIDE:
        return Heights(gpus, body - 8, max(7, body * 45 // 100), 8)
    events = EVENTS if height >= TALL else 0
    least_curve = min(FACTS, max(5, body * 42 // 100))
    shown = min(runs + ROWS_TITLE, max(3, body - least_curve - events - LEAST_LOG))
    left = body - events - shown
    return Heights(gpus, shown, max(least_curve, left * 62 // 100), events)


class Dashboard(RunScreen):
    """Shows everything at once; the first screen and the last."""

    SCOPE = "dashboard"
    STAYS_WITHOUT_RUN = True
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("dashboard")]

    def __init__(self) -> None:
        super().__init__()
        self._heights: Heights | None = None
        # Made here and not found by query: a snapshot may come before the screen is composed.
        self._header = HeaderLine(id="header")
        self._gpus = GpuPanel(id="gpus")
        self._runs = RunTable(id="runs")
        self._events = EventList(id="events")
        self._curve = Columns(id="curve")
        self._chart = LossChart(id="chart")
        self._facts = Facts(id="facts")
        self._log = LogTail(id="log")
        self._prompt = Prompt()
        self._keys = KeyLine("dashboard")

    def compose(self) -> ComposeResult:
        """Lay out the panels; how high they are depends on the terminal and on what there is."""
        yield self._header
        yield self._gpus
        with Rows(id="body"):
            with Rows(id="left"):
                yield self._runs
                yield self._events
            with Rows(id="right"):
                with self._curve:
                    yield self._chart
                    yield self._facts
                yield self._log
        yield self._prompt
        yield self._keys

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot in every panel."""
        self._arrange(snapshot)
        run = self.run_shown
        detail = snapshot.detail if run and snapshot.detail and snapshot.detail.run_id == run.id else None
        self._header.show(snapshot)
        self._gpus.show(snapshot)
        self._runs.select(self.cockpit.selected, self.cockpit.marked, self.cockpit.run_filter)
        self._runs.show(snapshot)
        self._facts.show(run, detail, snapshot.taken_at)
        self._keys.show(self.idle_keys())
        if detail or run is None or run.run_dir == NOWHERE:
            # Otherwise the history comes within some 30 ms; drawing emptiness in between would only flicker.
            self._chart.show(curve_of(run, detail))
            self._log.show(detail, run.id if run else "")
            self._events.show(detail.events if detail else ())

    def redraw_header(self) -> None:
        """Bring clock and age up to date without a new snapshot."""
        self._header.redraw()

    def _arrange(self, snapshot: Snapshot) -> None:
        width, height = self.app.size
        wanted = heights(width, height, wanted_height(snapshot.hardware, width), len(self._listed(snapshot)))
        self._facts.set_class(speaks(self.run_shown), "-spoken")
        if wanted == self._heights:
            return
        self._heights = wanted
        self._gpus.styles.height = wanted.gpus
        self._runs.styles.height = wanted.runs
        self._curve.styles.height = wanted.curve
        self._events.display = wanted.events > 0
        self._events.styles.height = wanted.events

    def on_resize(self, _event: events.Resize) -> None:
        """Arrange the panels for the new size."""
        if self.cockpit.snapshot:
            self.show(self.cockpit.snapshot)

    def action_move(self, rows: int) -> None:
        """Select another run."""
        snapshot = self.cockpit.snapshot
        if snapshot is None or not self._listed(snapshot):
            return
        ids = [run.id for run in self._listed(snapshot)]
        at = ids.index(self.cockpit.selected) if self.cockpit.selected in ids else 0
        self.cockpit.select(ids[min(max(0, at + rows), len(ids) - 1)])

    def action_open_doctor(self) -> None:
        """Show what stands in the way of training."""
        from fttui.screens.doctor_page import DoctorPage

        self.app.push_screen(DoctorPage())

    def _listed(self, snapshot: Snapshot) -> Sequence[RunSummary]:
        return matching(snapshot.runs, self.cockpit.run_filter)

    def action_ask_filter(self) -> None:
        """Ask for the words that the runs listed must have."""
        self._prompt.ask("filter", "only runs with:", self.cockpit.run_filter, in_place_of=self._keys)

    def on_prompt_answered(self, event: Prompt.Answered) -> None:
        """List the runs with these words, the first of them selected unless the selected one is among them."""
        self._prompt.close()
        self.cockpit.run_filter = event.text.strip()
        snapshot = self.cockpit.snapshot
        listed = self._listed(snapshot) if snapshot else ()
        if listed and self.cockpit.selected not in {run.id for run in listed}:
            self.cockpit.select(listed[0].id)
        elif snapshot:
            self.show(snapshot)

    def action_open_gpus(self) -> None:
        """Show the GPUs in full."""
        from fttui.screens.gpu_page import GpuPage

        self.app.push_screen(GpuPage())

    def action_edit_path(self) -> None:
        """Ask for a configuration file and edit it."""
        from fttui.editor.document import Source
        from fttui.screens.editor_dialogs import AskText

        self.app.push_screen(
            AskText("Configuration file", about="LLaMA-Factory's files too; nothing begins a new one"),
            lambda text: (
                self.cockpit.edit(Source(path=Path(text) if text else None)) if text is not None else None
            ),
        )

    def action_mark(self) -> None:
        """Mark the selected run for comparison, or take the mark away."""
        if run := self._allowed("mark"):
            self.cockpit.mark(run.id)
            self.action_move(1)

    def action_open_run(self) -> None:
        """Show the selected run in full."""
        from fttui.screens.run_detail import RunView

        if self._allowed("open"):
            self.app.push_screen(RunView())
