"""Choosing runs to compare with."""

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from fttui import figures
from fttui.lines import Line, Span, fit, line
from fttui.widgets.run_table import GLYPHS
from fttui.widgets.scroll_list import ScrollList
from fttui_engine.runs.summary import RunSummary

if TYPE_CHECKING:
    from fttui.cockpit import Cockpit


class PickRuns(ModalScreen[None]):
    """Lists the other runs, to mark or unmark."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,c", "leave", "close", id="pick-close"),
        Binding("space,enter", "mark", "mark", id="pick-mark"),
        Binding("j,down", "move(1)", "down", id="pick-down"),
        Binding("k,up", "move(-1)", "up", id="pick-up"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._list = ScrollList(id="pick", has_cursor=True)

    @property
    def _cockpit(self) -> "Cockpit":
        return cast("Cockpit", self.app)

    @property
    def _runs(self) -> list[RunSummary]:
        snapshot = self._cockpit.snapshot
        return [run for run in (snapshot.runs if snapshot else ()) if run.id != self._cockpit.selected]

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        with Vertical(classes="dialog reference") as box:
            box.styles.height = min(20, len(self._runs) + 4)
            yield self._list

    def on_mount(self) -> None:
        """Fill the list."""
        self._show()

    def _show(self) -> None:
        rows = [_row(run, marked=run.id in self._cockpit.marked) for run in self._runs]
        self._list.show(
            "Compare with",
            lambda _width: rows,
            remark="space marks, esc closes",
            empty="There is no other run.",
        )

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._list.move(rows)

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take its mark away."""
        if self._runs:
            self._cockpit.mark(self._runs[min(self._list.cursor, len(self._runs) - 1)].id)
            self._show()

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss(None)


def _row(run: RunSummary, *, marked: bool) -> Line:
    glyph, role = GLYPHS[run.state]
    return line(
        Span(" [*] " if marked else " [ ] ", "warn" if marked else "dim"),
        fit(run.id, 32),
        Span(f" {glyph} {fit(str(run.state), 12)}", role),
        Span(f" {figures.steps(run.step, run.max_steps)}  loss {figures.loss(run.loss)}", "dim"),
    )
