"""The line that names the steps."""

from collections.abc import Sequence

from fttui.lines import Line, Span, fit_line
from fttui.widgets.line_panel import LinePanel


class StepLine(LinePanel):
    """Names the steps; the present one also stands in brackets."""

    DEFAULT_CSS = "StepLine { height: 1; }"

    def __init__(self, titles: Sequence[str]) -> None:
        super().__init__()
        self._titles = titles
        self._at = 0

    def show(self, at: int) -> None:
        """Show where we are."""
        self._at = at
        self.redraw()

    def draw(self, width: int, _height: int) -> list[Line]:
        """Return the one line."""
        spans = [Span(" New run  ", "strong")]
        for place, title in enumerate(self._titles):
            name = f"{place + 1} {title}"
            here = place == self._at
            spans.append(Span(f"[{name}]" if here else f" {name} ", "strong" if here else "dim"))
        return [fit_line(tuple(spans), width)]
