"""The small parts of the editor's screen: title, keys, and the field that is laid over a value."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widgets import Input

from fttui.keys import Scope, bindings
from fttui.lines import Line, spread
from fttui.widgets.key_line import KeyLine
from fttui.widgets.line_panel import LinePanel
from fttui.widgets.prompt import Prompt

if TYPE_CHECKING:
    from fttui.screens.editor import Editor


class EditorTitle(LinePanel):
    """What is edited, above which profile, and whether it is saved."""

    def __init__(self) -> None:
        super().__init__(id="editor-title")
        self._left: Line = ()
        self._right: Line = ()

    def show(self, left: Line, right: Line) -> None:
        """Show both ends of the line."""
        self._left, self._right = left, right
        self.redraw()

    def draw(self, width: int, _height: int) -> Sequence[Line]:
        """Return the line."""
        return [spread(self._left, self._right, width)]


class EditorKeys(KeyLine):
    """The keys of form or text."""

    def turn_to(self, scope: Scope) -> None:
        """Show the keys of the other view."""
        self._scope = scope
        self.redraw()


class Form(Container):
    """The list of keys and the field that is laid over a value to change it; the letters are its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("editor")]

    def action_help(self) -> None:
        """Show what the keys do."""
        cast("Editor", self.screen).action_help()

    def action_back(self) -> None:
        """Leave."""
        cast("Editor", self.screen).action_back()


class FindPrompt(Prompt):
    """Asks for the words of a search; none at all is an answer too, and shows all again."""

    def action_leave(self) -> None:
        """Search for nothing."""
        self.post_message(self.Answered("find", ""))


class ValueInput(Input):
    """The value of one key, while it is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "screen.cancel_typing", "cancel", id="value-cancel"),
        Binding("tab,down", "screen.take_and_move(1)", "take, next", id="value-next"),
        Binding("shift+tab,up", "screen.take_and_move(-1)", "take, before", id="value-before"),
    ]
