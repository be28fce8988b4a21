"""One run in full: its curve, facts, events, checkpoints and log."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from fttui import figures
from fttui.keys import bindings
from fttui.lines import Line, Span, fit_right, line, spread
from fttui.screens.run_screen import RunScreen
from fttui.snapshot import RunDetail, Snapshot
from fttui.terminal import lacks_braille
from fttui.widgets.event_list import EventList
from fttui.widgets.facts import Facts
from fttui.widgets.key_line import KeyLine
from fttui.widgets.line_panel import LinePanel
from fttui.widgets.log_tail import LogTail
from fttui.widgets.loss_chart import LossChart, LossCurve
from fttui.widgets.run_table import GLYPHS
from fttui.widgets.text_list import TextList
from fttui_engine.runs.summary import RunSummary

FEW_WORDS = 60


class RunTitle(LinePanel):
    """The top line of a run's screen."""

    def __init__(self) -> None:
        super().__init__(id="run-title")
        self._run: RunSummary | None = None

    def show(self, run: RunSummary) -> None:
        """Show a run."""
        self._run = run
        self.redraw()

    def draw(self, width: int, _height: int) -> Sequence[Line]:
        """Return the one line."""
        return [title_line(self._run, width)] if self._run else []


def title_line(run: RunSummary, width: int) -> Line:
    """Return id, state and progress at the left, where it runs at the right."""
    glyph, role = GLYPHS[run.state]
    left = line(Span(f" {run.id}", "strong"), "  ", Span(f"{glyph} {run.state}", role), f"  {_progress(run)}")
    return spread(left, line(Span(f"{run.host} ", "dim")), width)


def _progress(run: RunSummary) -> str:
    parts = [figures.steps(run.step, run.max_steps), figures.percent(run.step, run.max_steps)]
    if run.state.is_live and run.eta_seconds is not None:
        parts.append(f"ETA {figures.duration(run.eta_seconds)}")
    return "  ".join(part for part in parts if part != figures.MISSING)


class RunView(RunScreen):
    """Shows the selected run."""

    SCOPE = "run"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("run")]

    def __init__(self) -> None:
        super().__init__()
        self._title = RunTitle()
        self._chart = LossChart(id="chart", ascii_only=lacks_braille())
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

    def show(self, snapshot: Snapshot) -> None:
        """Show the run, or go back when it is gone."""
        run = self.run_shown
        if run is None:
            self.app.pop_screen()
            return
        detail = snapshot.detail if snapshot.detail and snapshot.detail.run_id == run.id else None
        self._title.show(run)
        self._chart.show(curve_of(run, detail))
        self._facts.set_class(speaks(run), "-spoken")
        self._facts.show(run, detail, snapshot.taken_at)
        self._events.show(detail.events if detail else ())
        self._checkpoints.show(checkpoint_lines(run, snapshot.taken_at))
        self._log.show(detail, f"attempt {max(1, run.attempt)}")
        self._keys.show(self.idle_keys())

    def on_resize(self, _event: events.Resize) -> None:
        """Fill the panels at their new sizes."""
        if self.cockpit.snapshot and self.is_current:
            self.call_after_refresh(self.show, self.cockpit.snapshot)


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
