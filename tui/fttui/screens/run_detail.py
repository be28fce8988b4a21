"""One run in full: its curve, facts, events, checkpoints and log."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from fttui import figures
from fttui.keys import bindings
from fttui.lines import Line, Span, fit_right, line
from fttui.screens.run_page import RunPage
from fttui.snapshot import RunDetail, Snapshot
from fttui.widgets.event_list import EventList
from fttui.widgets.facts import Facts
from fttui.widgets.key_line import KeyLine
from fttui.widgets.log_tail import LogTail
from fttui.widgets.loss_chart import LossChart, LossCurve
from fttui.widgets.text_list import TextList
from fttui_engine.runs.summary import RunSummary

FEW_WORDS = 60


class RunView(RunPage):
    """Shows the selected run."""

    SCOPE = "run"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("run")]

    def __init__(self) -> None:
        super().__init__()
        self._chart = LossChart(id="chart")
        self._facts = Facts(id="facts")
        self._events = EventList(id="events")
        self._checkpoints = TextList("Checkpoints", id="checkpoints", empty="None yet.")
        self._log = LogTail(id="log")
        self._keys = KeyLine("run")

    def compose(self) -> ComposeResult:
        """Lay out the panels."""
        yield self._title
        with Horizontal(id="run-curve"):
            yield self._chart
            yield self._facts
        with Horizontal(id="run-lists"):
            yield self._events
            yield self._checkpoints
        yield self._log
        yield self._keys

    def show_run(self, run: RunSummary, detail: RunDetail | None, snapshot: Snapshot) -> None:
        """Show the run in every panel."""
        self._chart.show(curve_of(run, detail))
        self._facts.set_class(speaks(run), "-spoken")
        self._facts.show(run, detail, snapshot.taken_at)
        self._events.show(detail.events if detail else ())
        self._checkpoints.show(checkpoint_lines(run, snapshot.taken_at))
        self._log.show(detail, f"attempt {max(1, run.attempt)}")
        self._keys.show(self.idle_keys())

    def action_ask_both(self) -> None:
        """Ask what the run has trained so far, and its base."""
        if run := self._allowed("compare-open"):
            from fttui.screens.compare import ComparePage

            self.app.push_screen(ComparePage(run.id))


def curve_of(run: RunSummary | None, detail: RunDetail | None) -> LossCurve:
    """Return the loss curve of a run, or the reason why there is none."""
    if run is None:
        return LossCurve("Loss", absent="No run is selected.")
    if detail and detail.losses:
        return LossCurve(f"Loss  {run.id}", detail.losses, detail.evaluations, run.max_steps)
    if run.kind != "train":
        absent = "This program is not fttui's own worker: it has a log, but reports no numbers."
    elif run.state.is_live:
        absent = "The first numbers come after the first logged step."
    else:
        absent = "It ended before its first logged step."
    return LossCurve(f"Loss  {run.id}", absent=absent)


def speaks(run: RunSummary | None) -> bool:
    """Whether the facts of a run hold whole sentences, which need more room than numbers do."""
    if run is None or run.exit is None or run.state.is_live:
        return False
    return len(run.exit.message) + len(run.exit.advice) > FEW_WORDS


def checkpoint_lines(run: RunSummary, now: float) -> list[Line]:
    """Return the checkpoints of a run, the newest last, the ones that do not count marked."""
    return [
        line(
            f" step {fit_right(str(each.step), 7)}  ",
            f"{fit_right(figures.memory(each.size_bytes), 6)}  {figures.age(now - each.sealed_at)} ago"
            if each.complete and each.sealed_at
            else Span("not sealed: does not count", "warn"),
        )
        for each in run.checkpoints
    ]
