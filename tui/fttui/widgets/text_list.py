"""A short list under a heading: events, checkpoints, keys."""

from collections.abc import Sequence

from fttui.lines import Line, Span, line, rule
from fttui.widgets.line_panel import LinePanel


class TextList(LinePanel):
    """Shows the last of a list of lines under a heading."""

    def __init__(self, title: str, *, id: str | None = None, empty: str = "") -> None:
        super().__init__(id=id)
        self._title, self._remark, self._empty = title, "", empty
        self._content: Sequence[Line] = ()

    def show(self, content: Sequence[Line], remark: str = "") -> None:
        """Show the last lines of a list."""
        self._content, self._remark = content, remark
        self.redraw()

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading and the last lines that fit."""
        heading = rule(self._title, width, self._remark)
        if not self._content:
            return [heading, line(Span(f" {self._empty}", "dim"))]
        return [heading, *self._content[-(height - 1) :]] if height > 1 else [heading]
