"""What the panels have in common that show a part of every snapshot."""

from fttui.snapshot import Snapshot
from fttui.widgets.line_panel import LinePanel


class SnapshotPanel(LinePanel):
    """Keeps the newest snapshot and draws it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._snapshot: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot."""
        self._snapshot = snapshot
        self.redraw()
