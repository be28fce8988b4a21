"""Boxes for panels, which are painted once when their size changes and not twice."""

from textual.containers import Horizontal, Vertical
from textual.geometry import Size
from textual.reactive import Reactive


class Unscrolled:
    """What never scrolls, and so does not look different when Textual has noted how far it could be scrolled.

    Any other widget is arranged and painted a second time then: 20 kB for the dashboard at 200x50.
    """

    virtual_size = Reactive(Size(0, 0), layout=False, repaint=False)


class Columns(Unscrolled, Horizontal):
    """Panels beside each other."""


class Rows(Unscrolled, Vertical):
    """Panels above each other."""
