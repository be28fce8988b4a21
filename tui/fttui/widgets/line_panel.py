"""A widget that sends only the cells that changed."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.cells import get_character_cell_size
from rich.segment import Segment
from textual import events
from textual.geometry import Region, Size
from textual.strip import Strip

from fttui.lines import Line, Role, Span, fit_line
from fttui.themes import style_of
from fttui.widgets.panes import Unscrolled

if TYPE_CHECKING:
    from rich.style import Style

BLANK: Line = ()

# Below the combining marks every printable character takes one cell, and most of a screen lies there.
FIRST_ODD_CHARACTER = "\u0300"
NARROW: Final = re.compile("[ -\u02ff\u2500-\u259f\u2800-\u28ff]*")
"""Latin letters, rules, blocks and braille: one cell each."""


class LinePanel(Unscrolled):
    """Shows lines of text and repaints no more than what differs from the last frame.

    Textual resends the whole region of a widget on every refresh, changed or not: 3 kB for 20 lines, against 70
    bytes for the eight cells of one number. Over SSH that is the difference between a calm and a busy screen.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._drawn_for: Size | None = None
        self._strips: dict[int, Strip] = {}
        self._base_style: Style | None = None

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return the lines to show in a panel of this size; a subclass says what they are."""
        return ()

    def redraw(self) -> None:
        """Draw again and repaint the cells that differ."""
        size = self.content_size
        if not size:
            return
        old, self._lines = self._lines, self._drawn(size)
        if self._drawn_for != size:
            self._drawn_for = size
            self._strips.clear()
            self.refresh()
            return
        changed = [y for y in range(size.height) if old[y] != self._lines[y]]
        if changed:
            for y in changed:
                self._strips.pop(y, None)
            self.refresh(*(differing_region(old[y], self._lines[y], y) for y in changed))

    def _drawn(self, size: Size) -> list[Line]:
        width, height = size
        new = [fit_line(one, width) for one in self.draw(width, height)[:height]]
        return new + [fit_line(BLANK, width)] * (height - len(new))

    def render_line(self, y: int) -> Strip:
        """Return one line for the compositor."""
        size = self.content_size
        if self._drawn_for != size and size:
            # A new layout is painted before the event that tells of the new size: what is drawn only then would be
            # sent twice, 19 kB at 200x50.
            self._lines, self._drawn_for = self._drawn(size), size
            self._strips.clear()
        if y >= len(self._lines):
            return Strip.blank(self.content_size.width, self.rich_style)
        strip = self._strips.get(y)
        if strip is None:
            base = self._base_style = self._base_style or self.rich_style
            spans, theme = self._lines[y], self.app.theme
            strip = Strip([Segment(span.text, base + style_of(span, theme)) for span in spans if span.text])
            self._strips[y] = strip
        return strip

    def notify_style_update(self) -> None:
        """Forget what was painted in the old colours."""
        super().notify_style_update()
        self._base_style = None
        self._strips.clear()

    def on_resize(self, _event: events.Resize) -> None:
        """Draw for the new size, unless that has been painted already."""
        self.redraw()


def differing_region(old: Line, new: Line, y: int) -> Region:
    """Return the cells of a row from the first to the last that differ between two lines of equal width."""
    if all(NARROW.fullmatch(span.text) for line in (old, new) for span in line):
        start, length = max(0, _equal_cells(old, new) - 1), max(_length(old), _length(new))
        end = length
        if _length(old) == _length(new):
            end -= _equal_cells(_reversed(old), _reversed(new))
        return Region(start, y, max(1, end - start) + 1, 1)
    before, after = _cells(old), _cells(new)
    length = min(len(before), len(after))
    first = next((x for x in range(length) if before[x] != after[x]), length)
    last = max(len(before), len(after)) - 1
    if len(before) == len(after):
        last = next((x for x in range(last, first, -1) if before[x] != after[x]), first)
    # A wide character starts one cell before its second half, in either line; half of it cannot be sent.
    start = max(0, first - 1)
    while start and not (before[start][0] and after[start][0]):
        start -= 1
    return Region(start, y, last - start + 2, 1)


def _length(line: Line) -> int:
    return sum(len(span.text) for span in line)


def _reversed(line: Line) -> Line:
    return tuple(Span(span.text[::-1], span.role, span.marked) for span in reversed(line))


def _equal_cells(old: Line, new: Line) -> int:
    """Return how many cells two lines of narrow characters have in common at their beginning.

    Goes from span to span: a list of the cells of two lines of 200 takes ten times as long, and a page has 50 lines.
    """
    equal, others = 0, iter(new)
    other, place = next(others, None), 0
    for span in old:
        at = 0
        while at < len(span.text):
            while other is not None and place == len(other.text):
                other, place = next(others, None), 0
            if other is None or (span.role, span.marked) != (other.role, other.marked):
                return equal
            count = min(len(span.text) - at, len(other.text) - place)
            one, two = span.text[at : at + count], other.text[place : place + count]
            if one != two:
                return equal + next(x for x in range(count) if one[x] != two[x])
            equal, at, place = equal + count, at + count, place + count
    return equal


def _cells(spans: Line) -> list[tuple[str, Role, bool]]:
    cells: list[tuple[str, Role, bool]] = []
    for span in spans:
        for character in span.text:
            width = 1 if character < FIRST_ODD_CHARACTER else get_character_cell_size(character)
            if width == 0 and cells:
                cells[-1] = (cells[-1][0] + character, span.role, span.marked)
                continue
            cells.append((character, span.role, span.marked))
            cells.extend([("", span.role, span.marked)] * (width - 1))
    return cells
