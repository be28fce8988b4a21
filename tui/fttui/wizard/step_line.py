"""The line that names the steps."""

from collections.abc import Sequence

from fttui.lines import Line, Span, fit_line, width_of
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
        return [fit_line(self._spans(with_titles=width >= self._full_width), width)]

    @property
    def _full_width(self) -> int:
        return width_of(self._spans(with_titles=True))

    def _spans(self, *, with_titles: bool) -> Line:
        """The steps; where there is no room for their names, only that of the present one."""
        spans = [Span(" New run  ", "strong")]
        for place, title in enumerate(self._titles):
            here = place == self._at
            name = f"{place + 1} {title}" if with_titles or here else str(place + 1)
            spans.append(Span(f"[{name}]" if here else f" {name} ", "strong" if here else "dim"))
        return tuple(spans)
