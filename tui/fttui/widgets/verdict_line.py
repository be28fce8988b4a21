"""One line that says whether a configuration can be started, what memory it takes and what disk."""

from collections.abc import Sequence

from fttui import figures
from fttui.editor.judging import Judgement
from fttui.lines import Line, Role, Span, line, spread
from fttui.widgets.line_panel import LinePanel
from fttui_engine.runs.logs import one_line
from fttui_engine.spec.memory.report import MemoryReport

BAR_WIDTH = 5


class VerdictLine(LinePanel):
    """Shows the newest judgement; while a newer one is awaited, it says so."""

    def __init__(self) -> None:
        super().__init__(id="verdict-line")
        self._judgement: Judgement | None = None
        self._waits = True

    def show(self, judgement: Judgement | None, *, waits: bool) -> None:
        """Show a judgement, and whether it is that of the present text."""
        self._judgement, self._waits = judgement, waits
        self.redraw()

    def draw(self, width: int, _height: int) -> Sequence[Line]:
        """Return the line."""
        if self._judgement is None:
            return [line(Span(" checking ...", "dim"))]
        right = line(Span(" checking ... ", "dim")) if self._waits else line(Span(" "))
        return [spread(verdict_spans(self._judgement), right, width)]


def verdict_spans(judgement: Judgement) -> Line:
    """Return the verdict: errors, advice, memory, disk."""
    errors, warnings = judgement.count("error"), judgement.count("warning")
    spans: list[Span] = []
    if errors:
        spans.append(Span(f" x {errors} error{'s' if errors > 1 else ''}", "bad"))
    else:
        spans.append(Span(" v can be started", "good"))
    if warnings:
        spans.append(Span(f" ! {warnings} warning{'s' if warnings > 1 else ''}", "warn"))
    if judgement.report and not judgement.problem:
        spans += memory_spans(judgement.report.memory)
    return tuple(spans)


def memory_spans(memory: MemoryReport) -> list[Span]:
    """Return what memory and disk a run takes, against what there is."""
    if memory.prediction is None:
        return [Span(f" memory: {one_line(memory.reason or 'not known')}", "dim")]
    needed = memory.prediction.predicted_bytes
    free = [gpu.memory_free_bytes for gpu in memory.gpus if gpu.memory_free_bytes is not None]
    role: Role = "plain" if memory.fits is None else "good" if memory.fits else "bad"
    verdict = "" if memory.fits is None else " fits" if memory.fits else " over"
    if free:
        bar = figures.bar(needed / max(1, min(free)), BAR_WIDTH)
        room = figures.memory(min(free))
        spans = [Span(f" memory {figures.memory(needed)} of {room} a GPU ", "plain"), Span(bar, role)]
        spans.append(Span(verdict, role))
    else:
        where = "of this host" if "libraries" in memory.prediction.terms else "on each GPU"
        total = memory.host_bytes if "libraries" in memory.prediction.terms else needed
        spans = [Span(f" memory {figures.memory(total)} {where}", "plain"), Span(verdict, role)]
    disk = memory.disk_bytes or memory.checkpoint_bytes
    if disk:
        each = "" if memory.disk_bytes else " a checkpoint"
        spans.append(Span(f" disk {figures.memory(disk)}{each}", "plain"))
    return spans
