"""A list of which one row is marked; the keys that move the mark may be pressed elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from fttui.lines import Line, Span, fit_line, line, rule
from fttui.widgets.line_panel import LinePanel


@dataclass(frozen=True, slots=True)
class Choice:
    """A row: what choosing it means, and what is shown of it."""

    value: str
    text: Line


class ChoiceList(LinePanel):
    """Shows choices under a heading, and if there is one under a line of column titles."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.choices: Sequence[Choice] = ()
        self.at = 0
        self._title, self._remark = "", ""
        self._columns: Line = ()

    @property
    def marked(self) -> Choice | None:
        """The choice under the mark."""
        return self.choices[self.at] if self.at < len(self.choices) else None

    def show(
        self, title: str, choices: Sequence[Choice], *, at: int = 0, remark: str = "", columns: Line = ()
    ) -> None:
        """Show choices, one of them marked."""
        self._title, self.choices, self._remark, self._columns = title, choices, remark, columns
        self.at = min(max(0, at), max(0, len(choices) - 1))
        self.redraw()

    def move(self, rows: int) -> bool:
        """Mark another row; False where the end of the list is reached already."""
        before = self.at
        self.at = min(max(0, self.at + rows), max(0, len(self.choices) - 1))
        self.redraw()
        return self.at != before

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading, column titles and the rows around the mark."""
        head = [*([self._columns] if self._columns else [])]
        room = max(1, height - 1 - len(head))
        first = max(0, min(self.at - room // 2, len(self.choices) - room))
        shown = self.choices[first : first + room]
        of = f"{self.at + 1} of {len(self.choices)}" if len(self.choices) > room else ""
        lines = [rule(self._title, width, "  ".join(part for part in (self._remark, of) if part)), *head]
        for place, choice in enumerate(shown, first):
            marked = place == self.at
            row = line(Span("▌" if marked else " ", "accent"), *choice.text)
            if marked:
                row = tuple(Span(span.text, span.role, marked=True) for span in fit_line(row, width))
            lines.append(row)
        return lines
