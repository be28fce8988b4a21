"""The head of the compare screen."""

from fttui.lines import Line, Role, Span, line, spread, wrap
from fttui.widgets.line_panel import LinePanel
from fttui_engine.runs.logs import one_line

QUESTION_ROWS = 3


class CompareTitle(LinePanel):
    """What is compared, how far it is, and the question that is looked at."""

    DEFAULT_CSS = f"CompareTitle {{ height: {QUESTION_ROWS + 1}; }}"

    def __init__(self) -> None:
        super().__init__()
        self._left, self._status, self._question = "", "", ""
        self._role: Role = "dim"

    def show(self, left: str, status: str, role: Role, question: str) -> None:
        """Show all of it."""
        self._left, self._status, self._question = one_line(left), one_line(status), one_line(question)
        self._role = role
        self.redraw()

    def draw(self, width: int, _height: int) -> list[Line]:
        """Return the title and the beginning of the question."""
        head = spread(
            line(Span(f" {self._left}", "strong")), line(Span(f"{self._status} ", self._role)), width
        )
        rows = wrap(self._question, width - 2, "accent")
        if len(rows) > QUESTION_ROWS:
            rows = [*rows[: QUESTION_ROWS - 1], line(*rows[QUESTION_ROWS - 1], Span(" ...", "dim"))]
        return [head, *(line(" ", *row) for row in rows)]
