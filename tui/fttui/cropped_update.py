"""A change of the screen from its first cell to its last.

Textual 8.2.8 crops what it sends at the right alone: for one cell in the middle of a panel it sends all that stands to
the left of it too, up to the panel's edge.
"""

from typing import TYPE_CHECKING

from rich.control import Control
from textual._compositor import ChopsUpdate

if TYPE_CHECKING:
    from rich.console import Console


class CroppedUpdate(ChopsUpdate):
    """Sends no cell that lies outside of the spans that changed."""

    @classmethod
    def of(cls, update: ChopsUpdate) -> "CroppedUpdate":
        """Return what sends the same change."""
        return cls(update.chops, update.spans, update.chop_ends)

    def render_segments(self, console: "Console") -> str:
        """Return what the terminal is sent."""
        parts: list[str] = []
        for y, first, end in self.spans:
            for chop_end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                start, stop = max(x, first), min(chop_end, end)
                if strip is None or start >= stop:
                    continue
                parts.append(Control.move_to(start, y).segment.text)
                parts.append(strip.crop(start - x, stop - x).render(console))
        return "".join(parts)
