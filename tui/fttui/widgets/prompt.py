"""A question in one line at the foot of a screen."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static


class Prompt(Horizontal):
    """Asks for a text; hidden until it does."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "cancel", id="prompt-cancel")]

    class Answered(Message):
        """Somebody answered; ``about`` is what was asked for."""

        def __init__(self, about: str, text: str) -> None:
            super().__init__()
            self.about, self.text = about, text

    def __init__(self) -> None:
        super().__init__(id="prompt")
        self.display = False
        self._about = ""
        self._covered: Widget | None = None
        self._label = Static("", id="prompt-label", markup=False)
        self._input = Input(compact=True, select_on_focus=True, id="prompt-text")

    def compose(self) -> ComposeResult:
        """Lay out question and field."""
        yield self._label
        yield self._input

    def ask(self, about: str, label: str, text: str, *, in_place_of: Widget) -> None:
        """Show the field with a text to change; what lies there meanwhile gives its line, so that nothing else moves."""
        self._about, self._covered = about, in_place_of
        in_place_of.display = False
        self._label.update(label)
        self._label.styles.width = len(label) + 1
        self._input.value = text
        self.display = True
        self._input.focus()

    def say(self, problem: str) -> None:
        """Say what is wrong with the answer, and let it be changed."""
        self._label.update(problem)
        self._label.styles.width = len(problem) + 1

    def close(self) -> None:
        """Hide the field."""
        self.display = False
        if self._covered:
            self._covered.display = True
        self.screen.set_focus(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Pass the answer on."""
        event.stop()
        self.post_message(self.Answered(self._about, event.value))

    def action_leave(self) -> None:
        """Give no answer."""
        self.close()
