"""The bottom line: the keys of the screen, those that would do nothing now dimmed."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, cast

from fttui.keys import Key, Scope
from fttui.lines import Line, Span, line, width_of
from fttui.widgets.line_panel import LinePanel

if TYPE_CHECKING:
    from fttui.cockpit import Cockpit


WAYS_OUT = frozenset({"help", "back", "quit", "new-help", "new-back"})


class KeyLine(LinePanel):
    """Lists keys from the key table."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(id="keys")
        self._scope = scope
        self._idle: Collection[str] = ()

    def show(self, idle: Collection[str], scope: Scope | None = None) -> None:
        """Show the keys, those whose ids are given dimmed; ``scope`` changes whose they are."""
        self._idle, self._scope = idle, scope or self._scope
        self.redraw()

    def draw(self, width: int, _height: int) -> Sequence[Line]:
        """Return the one line."""
        cockpit = cast("Cockpit", self.app)
        notice = line(Span(" read-only ", "warn")) if cockpit.settings.read_only else ()
        keys = cockpit.keymap.keys_of(self._scope)
        return [(*notice, *key_line(keys, self._idle, width - width_of(notice)))]


def key_line(keys_of_screen: Sequence[Key], idle: Collection[str], width: int) -> Line:
    """Return as many keys as fit; help and the way out always do."""
    keys = [key for key in keys_of_screen if key.in_footer]
    ends = [key for key in keys if key.id in WAYS_OUT]
    entries = {
        key.id: (
            Span(f" {key.shown}", "dim" if key.id in idle else "accent"),
            Span(f" {key.label} ", "dim" if key.id in idle else "plain"),
        )
        for key in keys
    }
    room = width - sum(width_of(entries[key.id]) for key in ends)
    shown: list[Span] = []
    for key in keys:
        if key not in ends and width_of(shown) + width_of(entries[key.id]) <= room:
            shown += entries[key.id]
    return (*shown, *(span for key in ends for span in entries[key.id]))
