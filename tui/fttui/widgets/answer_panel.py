"""An answer of a model, which grows while it is looked at."""

from collections.abc import Sequence

from fttui.lines import Line, Role, Span, line, rule, text_of, wrap
from fttui.widgets.line_panel import LinePanel
from fttui_engine.runs.logs import plain_text


class AnswerPanel(LinePanel):
    """Shows a text under a heading; follows its end while it grows, until somebody scrolls."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._title, self._text, self._remark = "", "", ""
        self._role: Role = "plain"
        self._top: int | None = None

    def show(self, title: str, text: str, *, remark: str = "", role: Role = "plain") -> None:
        """Show a text; the place in it stays."""
        self._title, self._text, self._remark, self._role = title, text, remark, role
        self.redraw()

    def begin(self, *, at_end: bool) -> None:
        """Go to the beginning of another text, or stay at its end while it grows."""
        self._top = None if at_end else 0

    def scroll_lines(self, lines: int) -> None:
        """Scroll; the end is no longer followed."""
        self._top = max(0, (self._top if self._top is not None else self._last_top()) + lines)
        self._top = min(self._top, self._last_top())
        self.redraw()

    def _last_top(self) -> int:
        width, height = self.content_size
        return max(0, len(wrapped(self._text, width - 2)) - max(1, height - 1))

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading and the lines that fit."""
        rows = wrapped(self._text, width - 2)
        room = max(1, height - 1)
        top = max(0, len(rows) - room) if self._top is None else min(self._top, max(0, len(rows) - room))
        more = f"{top + 1}-{min(len(rows), top + room)} of {len(rows)}" if len(rows) > room else ""
        remark = "  ".join(part for part in (self._remark, more) if part)
        shown = rows[top : top + room]
        return [rule(self._title, width, remark), *(line(Span(f" {row}", self._role)) for row in shown)]


def wrapped(text: str, width: int) -> list[str]:
    """Break a text at its own line ends and at the width; spaces at the beginning of lines are kept."""
    width = max(8, width)
    rows: list[str] = []
    for paragraph in plain_text(text).expandtabs(4).split("\n"):
        # Not textwrap: a character may be two cells wide, which it does not know.
        words = paragraph.lstrip(" ")
        indent = " " * min(len(paragraph) - len(words), width // 2)
        rows += [f"{indent}{text_of(row)}" for row in wrap(words, width - len(indent))] or [""]
    while rows and not rows[-1].strip():
        rows.pop()
    return rows
