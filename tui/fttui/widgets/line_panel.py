"""A widget that sends only the cells that changed."""

from collections.abc import Sequence

from rich.cells import get_character_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from fttui.lines import Line, fit_line
from fttui.palette import style_of

BLANK: Line = ()

# Below the combining marks every printable character takes one cell, and most of a screen lies there.
FIRST_ODD_CHARACTER = "\u0300"


class LinePanel(Widget):
    """Shows lines of text and repaints no more than what differs from the last frame.

    Textual resends the whole region of a widget on every refresh, changed or not: 3 kB for 20 lines, against 70
    bytes for the eight cells of one number. Over SSH that is the difference between a calm and a busy screen.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._strips: dict[int, Strip] = {}

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return the lines to show in a panel of this size; a subclass says what they are."""
        return ()

    def redraw(self) -> None:
        """Draw again and repaint the cells that differ."""
        width, height = self.content_size
        if not width or not height:
            return
        new = [fit_line(one, width) for one in self.draw(width, height)[:height]]
        new += [fit_line(BLANK, width)] * (height - len(new))
        old, self._lines = self._lines, new
        if len(old) != len(new):
            self._strips.clear()
            self.refresh()
            return
        changed = [self._changed_cells(y, old[y], new[y]) for y in range(height) if old[y] != new[y]]
        if changed:
            self.refresh(*changed)

    def _changed_cells(self, y: int, old: Line, new: Line) -> Region:
        before, after = self._strips.pop(y, None) or self._strip(old), self._strip(new)
        if before.cell_length != after.cell_length:
            return Region(0, y, self.content_size.width, 1)
        return differing_region(before, after, y)

    def _strip(self, spans: Line) -> Strip:
        base = self.rich_style
        return Strip([Segment(span.text, base + style_of(span)) for span in spans if span.text])

    def render_line(self, y: int) -> Strip:
        """Return one line for the compositor."""
        if y >= len(self._lines):
            return Strip.blank(self.content_size.width, self.rich_style)
        strip = self._strips.get(y)
        if strip is None:
            strip = self._strips[y] = self._strip(self._lines[y])
        return strip

    def notify_style_update(self) -> None:
        """Forget what was painted in the old colours."""
        super().notify_style_update()
        self._strips.clear()

    def on_resize(self, _event: events.Resize) -> None:
        """Draw for the new size."""
        self._lines = []
        self.redraw()


def differing_region(before: Strip, after: Strip, y: int) -> Region:
    """Return the cells of a row from the first to the last that differ between two strips of equal length."""
    old, new = _cells(before), _cells(after)
    first = next((x for x, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), len(new))
    last = next(
        (x for x in range(min(len(old), len(new)) - 1, first - 1, -1) if old[x] != new[x]),
        len(new) - 1,
    )
    if len(old) != len(new):
        last = max(len(old), len(new)) - 1
    # A wide character starts one cell before its second half; one cell of margin keeps it whole.
    start = max(0, first - 1)
    return Region(start, y, max(1, last - start + 2), 1)


def _cells(strip: Strip) -> list[tuple[str, Style | None]]:
    cells: list[tuple[str, Style | None]] = []
    for segment in strip:
        for character in segment.text:
            width = 1 if character < FIRST_ODD_CHARACTER else get_character_cell_size(character)
            if width == 0 and cells:
                cells[-1] = (cells[-1][0] + character, cells[-1][1])
                continue
            cells.append((character, segment.style))
            cells.extend([("", segment.style)] * (width - 1))
    return cells
