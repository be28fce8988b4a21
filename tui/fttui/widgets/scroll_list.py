"""A list that may be longer than the screen: scrolled by lines, or with a cursor on one of its rows."""

from collections.abc import Callable, Sequence

from fttui.lines import Line, Span, fit_line, line, rule, wrap
from fttui.widgets.line_panel import LinePanel

Rows = Callable[[int], Sequence[Line]]
"""Makes the rows for a width."""


class ScrollList(LinePanel):
    """Shows rows under a heading, and if there is one under a line of column titles."""

    def __init__(self, *, id: str | None = None, has_cursor: bool = False, ends_first: bool = False) -> None:
        super().__init__(id=id)
        self._title, self._remark, self._empty = "", "", ""
        self._columns: Line = ()
        self._rows: Rows = lambda _width: ()
        self._has_cursor = has_cursor
        self._top, self.cursor = 0, 0
        self._is_at_end = ends_first

    def show(self, title: str, rows: Rows, *, remark: str = "", columns: Line = (), empty: str = "") -> None:
        """Show rows; the place in the list stays."""
        self._title, self._rows, self._remark = title, rows, remark
        self._columns, self._empty = columns, empty
        self.redraw()

    def move(self, rows: int) -> None:
        """Move the cursor, or where there is none scroll."""
        if self._has_cursor:
            self.cursor += rows
        else:
            self._top += rows
            self._is_at_end = False
        self.redraw()

    def move_pages(self, pages: int) -> None:
        """Go by screenfuls."""
        self.move(pages * max(1, self._visible - 1))

    @property
    def _visible(self) -> int:
        return max(1, self.content_size.height - 1 - bool(self._columns))

    def draw(self, width: int, _height: int) -> Sequence[Line]:
        """Return heading, column titles and the rows around the cursor."""
        rows = list(self._rows(width))
        head = [rule(self._title, width, self._remark), *([self._columns] if self._columns else [])]
        if not rows:
            return [*head, *(line(" ", *one) for one in wrap(self._empty, width - 2, "dim"))]
        self._settle(len(rows))
        shown = rows[self._top : self._top + self._visible]
        if len(rows) > self._visible:
            of = f"{self._top + 1}-{self._top + len(shown)} of {len(rows)}"
            head[0] = rule(self._title, width, f"{self._remark}  {of}".strip())
        if self._has_cursor:
            at = self.cursor - self._top
            shown[at] = tuple(Span(each.text, each.role, marked=True) for each in fit_line(shown[at], width))
        return [*head, *shown]

    def _settle(self, count: int) -> None:
        last_top = max(0, count - self._visible)
        self.cursor = min(max(0, self.cursor), count - 1)
        if self._has_cursor:
            self._top = min(max(self._top, self.cursor - self._visible + 1), self.cursor)
        self._top = last_top if self._is_at_end else min(max(0, self._top), last_top)
        self._is_at_end = not self._has_cursor and self._is_at_end
