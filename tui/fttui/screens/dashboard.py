"""The dashboard: the machine, all runs, and the selected one at a glance."""

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from fttui.keys import bindings
from fttui.screens.run_detail import curve_of, speaks
from fttui.screens.run_screen import RunScreen
from fttui.snapshot import NOWHERE, Snapshot
from fttui.terminal import lacks_braille
from fttui.widgets.event_list import EventList
from fttui.widgets.facts import Facts
from fttui.widgets.gpu_panel import GpuPanel, wanted_height
from fttui.widgets.header import HeaderLine
from fttui.widgets.key_line import KeyLine
from fttui.widgets.log_tail import LogTail
from fttui.widgets.loss_chart import LossChart
from fttui.widgets.run_table import ROWS_TITLE, RunTable

WIDE = 180
"""From this width on, the selected run stands beside the table instead of below it."""
TALL = 36


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
    curve = max(5, body * 42 // 100)
    events = 6 if height >= TALL else 0
    log = max(4, body * 22 // 100)
    return Heights(gpus, max(3, min(runs + ROWS_TITLE, body - curve - events - log)), curve, events)


class Dashboard(RunScreen):
    """Shows everything at once; the first screen and the last."""

    SCOPE = "dashboard"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("dashboard")]

    def __init__(self) -> None:
        super().__init__()
        self._heights: Heights | None = None

    def compose(self) -> ComposeResult:
        """Lay out the panels; how high they are depends on the terminal and on what there is."""
        yield HeaderLine(id="header")
        yield GpuPanel(id="gpus")
        with Vertical(id="body"):
            with Vertical(id="left"):
                yield RunTable(id="runs")
                yield EventList(id="events")
            with Vertical(id="right"):
                with Horizontal(id="curve"):
                    yield LossChart(id="chart", ascii_only=lacks_braille())
                    yield Facts(id="facts")
                yield LogTail(id="log")
        yield KeyLine("dashboard")

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot in every panel."""
        self._arrange(snapshot)
        run = self.run_shown
        detail = snapshot.detail if run and snapshot.detail and snapshot.detail.run_id == run.id else None
        self.query_one(HeaderLine).show(snapshot)
        self.query_one(GpuPanel).show(snapshot)
        self.query_one(RunTable).show(snapshot, self.cockpit.selected)
        self.query_one(Facts).show(run, detail, snapshot.taken_at)
        self.query_one(KeyLine).show(self.idle_keys())
        if detail or run is None or run.run_dir == NOWHERE:
            # Otherwise the history comes within some 30 ms; drawing emptiness in between would only flicker.
            self.query_one(LossChart).show(curve_of(run, detail))
            self.query_one(LogTail).show(detail, run.id if run else "")
            self.query_one(EventList).show(detail.events if detail else ())

    def redraw_header(self) -> None:
        """Bring clock and age up to date without a new snapshot."""
        self.query_one(HeaderLine).redraw()

    def _arrange(self, snapshot: Snapshot) -> None:
        width, height = self.app.size
        wanted = heights(width, height, wanted_height(snapshot.hardware, width), len(snapshot.runs))
        self.query_one(Facts).set_class(speaks(self.run_shown), "-spoken")
        if wanted == self._heights:
            return
        self._heights = wanted
        self.query_one(GpuPanel).styles.height = wanted.gpus
        self.query_one(RunTable).styles.height = wanted.runs
        self.query_one("#curve").styles.height = wanted.curve
        events_panel = self.query_one("#events")
        events_panel.display = wanted.events > 0
        events_panel.styles.height = wanted.events

    def on_resize(self, _event: events.Resize) -> None:
        """Arrange the panels for the new size."""
        if self.cockpit.snapshot:
            self.show(self.cockpit.snapshot)

    def action_move(self, rows: int) -> None:
        """Select another run."""
        snapshot = self.cockpit.snapshot
        if snapshot is None or not snapshot.runs:
            return
        ids = [run.id for run in snapshot.runs]
        at = ids.index(self.cockpit.selected) if self.cockpit.selected in ids else 0
        self.cockpit.select(ids[min(max(0, at + rows), len(ids) - 1)])

    def action_open_run(self) -> None:
        """Show the selected run in full."""
        from fttui.screens.run_detail import RunView

        if self._allowed("open"):
            self.app.push_screen(RunView())
