"""The help screen, made from the key table."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from fttui.keys import Key, names_of
from fttui.lines import Line, Span, fit, line, wrap
from fttui.widgets.run_table import GLYPHS
from fttui.widgets.scroll_list import ScrollList

KEY_WIDTH = 16
NARROWEST, MIN_HELP_WIDTH = 70, 20
EXPLANATION = (
    "Runs do not belong to this program: closing it, the terminal or the connection never touches them. "
    "Open fttui again at any time, from anywhere, and they are here."
)


class Help(ModalScreen[None]):
    """Lists the keys of the screen below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter,f1", "leave", "close", id="help-close"),
        Binding("j,down", "scroll(1)", "down", id="help-down"),
        Binding("k,up", "scroll(-1)", "up", id="help-up"),
        Binding("space,pagedown", "scroll(10)", "page", id="help-page-down"),
        Binding("b,pageup", "scroll(-10)", "back", id="help-page-up"),
    ]

    def __init__(self, keys: Sequence[Key]) -> None:
        super().__init__()
        self._keys = keys
        self._list = ScrollList(id="help")

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        with Vertical(classes="dialog reference") as box:
            box.styles.height = len(help_lines(self._keys, NARROWEST)) + 3
            yield self._list

    def on_mount(self) -> None:
        """Fill the list."""
        self._list.show(
            "Keys", lambda width: help_lines(self._keys, width), remark="j and k scroll, esc closes"
        )

    def action_scroll(self, rows: int) -> None:
        """Scroll."""
        self._list.move(rows)

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss(None)


def help_lines(keys: Sequence[Key], width: int) -> list[Line]:
    """Return the keys of a screen with what they do, and what the states look like."""
    listed = [one for key in keys for one in _key_lines(key, width)]
    states = [span for state, (glyph, role) in GLYPHS.items() for span in (Span(f" {glyph} {state}", role),)]
    return [*listed, line(""), tuple(states[:5]), tuple(states[5:]), line(""), *_indented(EXPLANATION, width)]


def _key_lines(key: Key, width: int) -> list[Line]:
    pressed = f" {fit(' '.join(names_of(key)), KEY_WIDTH)}"
    first, *others = wrap(key.help, max(MIN_HELP_WIDTH, width - len(pressed) - 1))
    return [(Span(pressed, "accent"), *first), *((Span(" " * len(pressed)), *one) for one in others)]


def _indented(text: str, width: int) -> list[Line]:
    return [line(" ", *one) for one in wrap(text, max(MIN_HELP_WIDTH, width - 2), "dim")]
