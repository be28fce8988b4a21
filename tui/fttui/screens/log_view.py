"""The log of the selected run, over the whole screen."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from fttui.keys import bindings
from fttui.lines import Line, Span, line, rule
from fttui.screens.run_screen import CockpitScreen
from fttui.snapshot import LogWindow, Snapshot
from fttui.widgets.key_line import KeyLine
from fttui.widgets.line_panel import LinePanel
from fttui.widgets.log_tail import TAB_CELLS


class LogPanel(LinePanel):
    """Shows a window of a log; follows its end until somebody scrolls up."""

    def __init__(self) -> None:
        super().__init__(id="log-lines")
        self._title = "log"
        self._log = LogWindow()
        self._top = 0
        self._left = 0
        self._following = True

    @property
    def _rows(self) -> int:
        return max(1, self.content_size.height - 1)

    @property
    def _end(self) -> int:
        return self._log.first + len(self._log.lines)

    def show(self, title: str, log: LogWindow) -> None:
        """Show a log; what is on the screen stays in place unless the end is followed."""
        if log.path != self._log.path:
            self._following = True
        self._title, self._log = title, log
        self.redraw()

    def move(self, rows: int) -> None:
        """Scroll; reaching the end takes up following again."""
        self._top = self._clamped(self._top + rows)
        self._following = self._top >= self._end - self._rows
        self.redraw()

    def move_pages(self, pages: int) -> None:
        """Scroll by screenfuls, keeping two lines of the last one."""
        self.move(pages * max(1, self._rows - 2))

    def shift(self, cells: int) -> None:
        """Shift long lines sideways."""
        self._left = max(0, self._left + cells)
        self.redraw()

    def _clamped(self, top: int) -> int:
        return max(self._log.first, min(top, self._end - self._rows))

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading and the visible lines."""
        self._top = self._clamped(self._end if self._following else self._top)
        start = self._top - self._log.first
        texts = self._log.lines[start : start + height - 1]
        where = f"{self._top + 1}-{self._top + len(texts)} of {self._end}"
        remark = f"{where}, following" if self._following else f"{where}, f follows"
        heading = rule(self._title, width, remark)
        if not texts:
            return [heading, line(Span(" Nothing has been written yet.", "dim"))]
        return [heading, *(line(text.expandtabs(TAB_CELLS)[self._left :]) for text in texts)]


class LogView(CockpitScreen):
    """Reads a log."""

    SCOPE = "log"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("log")]

    def __init__(self) -> None:
        super().__init__()
        self._log = LogPanel()

    def compose(self) -> ComposeResult:
        """Lay out the log and the keys."""
        yield self._log
        yield KeyLine("log")

    def show(self, snapshot: Snapshot) -> None:
        """Show what was added to the log."""
        run, detail = self.run_shown, snapshot.detail
        if run is None or detail is None:
            return
        self._log.show(f"{run.id}  log of attempt {max(1, run.attempt)}", detail.log)

    def action_scroll(self, rows: int) -> None:
        """Scroll by lines."""
        self._log.move(rows)

    def action_scroll_page(self, pages: int) -> None:
        """Scroll by pages."""
        self._log.move_pages(pages)

    def action_scroll_to_start(self) -> None:
        """Go to the first line that is kept."""
        self._log.move(-1_000_000_000)

    def action_follow(self) -> None:
        """Go to the end and stay there."""
        self._log.move(1_000_000_000)

    def action_shift(self, cells: int) -> None:
        """Shift long lines sideways."""
        self._log.shift(cells)
