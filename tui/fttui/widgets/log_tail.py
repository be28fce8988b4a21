"""The end of the selected run's log."""

from collections.abc import Sequence

from fttui.lines import Line, Span, line, rule
from fttui.snapshot import RunDetail
from fttui.widgets.line_panel import LinePanel

TAB_CELLS = 4


class LogTail(LinePanel):
    """Shows as many of the last lines of a log as fit."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._texts: Sequence[str] = ()
        self._remark = ""

    def show(self, detail: RunDetail | None, remark: str) -> None:
        """Show the end of a run's log."""
        self._texts, self._remark = detail.log.lines if detail else (), remark
        self.redraw()

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading and the last lines."""
        heading = rule("Log", width, self._remark)
        if not self._texts:
            return [heading, line(Span(" Nothing has been written yet.", "dim"))]
        return [heading, *(log_text(text) for text in self._texts[len(self._texts) - height + 1 :])]


def log_text(text: str) -> Line:
    """Return a line of a log as a line of a panel; the collector has made it harmless."""
    return line(" ", text.expandtabs(TAB_CELLS))
