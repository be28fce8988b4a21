"""The facts of the selected run, and why it ended when it did not end well."""

from collections.abc import Sequence

from fttui import figures
from fttui.lines import Line, Span, fit, line, rule, wrap
from fttui.snapshot import RunDetail
from fttui.widgets.line_panel import LinePanel
from fttui.widgets.run_table import GLYPHS
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import RunSummary

LABEL_WIDTH = 6
SILENT_SECONDS = 60.0
"""A run that said nothing for so long is worth a look."""


class Facts(LinePanel):
    """Shows the facts of one run."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[RunSummary | None, RunDetail | None, float] = (None, None, 0.0)

    def show(self, run: RunSummary | None, detail: RunDetail | None, now: float) -> None:
        """Show a run as it is now."""
        self._shown = (run, detail, now)
        self.redraw()

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading and facts, the most urgent first."""
        run, detail, now = self._shown
        if run is None:
            return [rule("", width)]
        return facts_lines(run, detail, now, width)[:height]


def facts_lines(run: RunSummary, detail: RunDetail | None, now: float, width: int) -> list[Line]:
    """Return the facts of a run; what went wrong or is about to happen stands above the numbers."""
    glyph, role = GLYPHS[run.state]
    heading = rule(
        f"{glyph} {run.state}{_phase(run)}", width, figures.percent(run.step, run.max_steps).replace("-", "")
    )
    heading = tuple(Span(span.text, role) if span.role == "strong" else span for span in heading)
    return [heading, *_urgent(run, now, width - 1), *_numbers(run, detail, now, width)]


def _urgent(run: RunSummary, now: float, width: int) -> list[Line]:
    lines: list[Line] = []
    if run.state is State.STOPPING and run.stop_deadline:
        left = run.stop_deadline - now
        otherwise = "if not saved" if run.kind == "train" else "if still there"
        text = f"killed in {figures.duration(left)} {otherwise}" if left > 0 else "being killed"
        lines += wrap(text, width, "warn")
    # A live run has a verdict while it waits to be restarted.
    if run.exit and run.state is not State.FINISHED:
        lines += wrap(run.exit.message, width, "bad" if run.state.is_failure else "plain")
        lines += wrap(run.exit.advice, width, "warn")
    if run.detail:
        lines += wrap(run.detail, width, "accent")
    return [line(" ", *one) for one in lines]


def _numbers(run: RunSummary, detail: RunDetail | None, now: float, width: int) -> list[Line]:
    known = detail or RunDetail(run.id)
    facts = [
        ("loss", f"{figures.loss(run.loss)}  best {figures.loss(known.best_loss)}"),
        ("eval", _evaluation(known)),
        ("lr", f"{figures.rate(known.learning_rate)}  grad {figures.loss(known.grad_norm)}"),
        ("tok/s", f"{figures.count(run.tokens_per_second)}  step {_step_time(run)}"),
        (
            "eta",
            figures.duration(run.eta_seconds) if run.state.is_live and run.eta_seconds is not None else "",
        ),
        ("ckpt", _checkpoint(run, now)),
        ("seen", _seen(run, now)),
        ("mem", f"{figures.memory(known.gpu_memory_peak_bytes)} peak" if known.gpu_memory_peak_bytes else ""),
        ("step", figures.steps(run.step, run.max_steps) if run.step is not None else ""),
        ("tries", str(run.attempt) if run.attempt > 1 else ""),
        ("pid", str(run.pid) if run.pid else ""),
    ]
    lines = [
        line(Span(f" {fit(label, LABEL_WIDTH)}", "dim"), Span(fit(text, width - LABEL_WIDTH - 1).rstrip()))
        for label, text in facts
        if text and not text.startswith(figures.MISSING + "  ")
    ]
    return lines


def _phase(run: RunSummary) -> str:
    return f": {run.phase}" if run.phase and run.phase not in ("train", "done") else ""


def _evaluation(detail: RunDetail) -> str:
    if not detail.evaluations:
        return ""
    step, value = detail.evaluations[-1]
    return f"{figures.loss(value)}  at {step}"


def _step_time(run: RunSummary) -> str:
    return figures.MISSING if run.step_seconds is None else f"{run.step_seconds:.2f}s"


def _checkpoint(run: RunSummary, now: float) -> str:
    newest = next((each for each in reversed(run.checkpoints) if each.complete), None)
    if newest is None:
        return "none yet" if run.kind == "train" else ""
    ago = f"  {figures.age(now - newest.sealed_at)} ago" if newest.sealed_at else ""
    return f"{newest.step}{ago}"


def _seen(run: RunSummary, now: float) -> str:
    """Say since when a live run has been silent; a lively one needs no line that changes every second."""
    if not run.state.is_live or run.updated_at is None or now - run.updated_at < SILENT_SECONDS:
        return ""
    return f"silent for {figures.age(now - run.updated_at)}"
