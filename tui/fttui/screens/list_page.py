"""A page that is one list."""

from textual.app import ComposeResult

from fttui.screens.run_page import RunPage
from fttui.widgets.key_line import KeyLine
from fttui.widgets.scroll_list import ScrollList


class ListPage(RunPage):
    """Shows a list over the whole screen; a subclass fills it."""

    HAS_CURSOR = False
    ENDS_FIRST = False

    def __init__(self) -> None:
        super().__init__()
        self._list = ScrollList(id="page-list", has_cursor=self.HAS_CURSOR, ends_first=self.ENDS_FIRST)
        self._keys = KeyLine(self.SCOPE)

    def compose(self) -> ComposeResult:
        """Lay out title, list and keys."""
        yield self._title
        yield self._list
        yield self._keys

    def action_scroll(self, rows: int) -> None:
        """Scroll by lines, or move the cursor."""
        self._list.move(rows)

    def action_scroll_page(self, pages: int) -> None:
        """Scroll by pages."""
        self._list.move_pages(pages)
