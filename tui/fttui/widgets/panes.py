"""Boxes for panels, which are painted once when their size changes and not twice."""

from textual.containers import Horizontal, Vertical
from textual.geometry import Size
from textual.reactive import Reactive
from textual.widget import Widget


class Unscrolled(Widget):
    """What never scrolls, and so does not look different when Textual has noted how far it could be scrolled.

    Any other widget is arranged and painted a second time then: 20 kB for the dashboard at 200x50.
    """

    virtual_size = Reactive(Size(0, 0), layout=False, repaint=False)

    def _size_updated(
        self, size: Size, virtual_size: Size, container_size: Size, layout: bool = True
    ) -> bool:
        is_new_size = size != self._size
        is_changed = super()._size_updated(size, virtual_size, container_size, layout)
        if is_new_size:
            # The new layout paints it whole; left marked, it would be sent once more with the next cell that changes.
            self._repaint_regions.clear()
        return is_changed


class Columns(Horizontal, Unscrolled):
    """Panels beside each other."""


class Rows(Vertical, Unscrolled):
    """Panels above each other."""
