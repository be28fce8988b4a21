"""Small questions before something is done that cannot be undone."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class AskYesNo(ModalScreen[bool]):
    """Says what will happen and asks; only ``y`` and enter mean yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "yes", id="dialog-yes"),
        Binding("n,escape,q", "answer(False)", "no", id="dialog-no"),
    ]

    def __init__(self, question: str, consequence: str, verb: str) -> None:
        super().__init__()
        self._question, self._consequence, self._verb = question, consequence, verb

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(classes="dialog"):
            yield Static(Content.styled(self._question, "bold"))
            yield Static(Content(self._consequence), classes="consequence")
            yield Static(
                Content(f"y or enter: {self._verb}     n or esc: leave it as it is"), classes="choices"
            )

    def action_answer(self, answer: bool) -> None:
        """Close with an answer."""
        self.dismiss(answer)


class TypeToConfirm(ModalScreen[bool]):
    """Asks to type a word, for what a slip of the finger must not do."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "cancel", id="dialog-cancel")]

    def __init__(self, question: str, consequence: str, word: str) -> None:
        super().__init__()
        self._question, self._consequence, self._word = question, consequence, word

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(classes="dialog"):
            yield Static(Content.styled(self._question, "bold"))
            yield Static(Content(self._consequence), classes="consequence")
            yield Static(Content(f"Type {self._word} and press enter, or press esc to leave it alone."))
            yield Input(select_on_focus=False, id="word", compact=True)
            yield Static("", id="mismatch", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close if the word is the right one."""
        if event.value.strip() == self._word:
            self.dismiss(True)
        else:
            self.query_one("#mismatch", Static).update(f"That is not {self._word}. Nothing was done.")

    def action_leave(self) -> None:
        """Close without doing anything."""
        self.dismiss(False)
