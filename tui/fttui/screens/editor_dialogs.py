"""Small questions of the editor: one of several, a text, and something to read."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from fttui.lines import Line, Span, fit, line
from fttui.widgets.scroll_list import ScrollList
from fttui_engine.errors import FttuiError
from fttui_engine.runs.logs import one_line

FRAME_HEIGHT = 5
MOST_ROWS = 16
ANSWER_WIDTH = 14


class PickOne(ModalScreen[str | None]):
    """Offers some values; the answer is one of them, or nothing."""

    CSS_PATH = "editor.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "close", id="one-close"),
        Binding("enter,space", "take", "take", id="one-take"),
        Binding("j,down", "move(1)", "down", id="one-down"),
        Binding("k,up", "move(-1)", "up", id="one-up"),
        Binding("pagedown", "move(10)", "page", id="one-page-down"),
        Binding("pageup", "move(-10)", "page", id="one-page-up"),
    ]

    def __init__(
        self, title: str, choices: Sequence[tuple[str, Line]], *, at: str = "", about: str = ""
    ) -> None:
        super().__init__()
        self._title, self._choices, self._about = one_line(title), choices, one_line(about)
        self._list = ScrollList(id="one-of", has_cursor=True)
        self._list.cursor = next((i for i, (value, _) in enumerate(choices) if value == at), 0)

    def compose(self) -> ComposeResult:
        """Lay out text and list."""
        with Vertical(classes="dialog"):
            if self._about:
                yield Static(Content(self._about), classes="consequence")
            self._list.styles.height = min(
                MOST_ROWS, len(self._choices) + 1, self.app.size.height - FRAME_HEIGHT - 2
            )
            yield self._list

    def on_mount(self) -> None:
        """Fill the list."""
        rows = [text for _, text in self._choices]
        self._list.show(self._title, lambda _width: rows, remark="enter takes, esc leaves it")

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._list.move(rows)

    def action_take(self) -> None:
        """Close with the value under the cursor."""
        self.dismiss(self._choices[min(self._list.cursor, len(self._choices) - 1)][0])

    def action_leave(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


class AskText(ModalScreen[str | None]):
    """Asks for one line of text."""

    CSS_PATH = "editor.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "cancel", id="text-cancel")]

    def __init__(
        self, question: str, text: str = "", *, about: str = "", check: Callable[[str], object] | None = None
    ) -> None:
        super().__init__()
        self._question, self._text, self._about = one_line(question), text, one_line(about)
        self._check = check

    def compose(self) -> ComposeResult:
        """Lay out question and field."""
        with Vertical(classes="dialog"):
            yield Static(Content.styled(self._question, "bold"))
            yield Input(self._text, select_on_focus=False, id="answer", compact=True)
            yield Static("", id="answer-problem", markup=False)
            yield Static(Content(self._about or "enter goes on, esc leaves it"), classes="consequence")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close with the text, if it is right."""
        text = event.value.strip()
        try:
            if self._check:
                self._check(text)
        except FttuiError as error:
            self.query_one("#answer-problem", Static).update(f"{error.message}: {error.hint}.")
            return
        self.dismiss(text)

    def action_leave(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


class Reading(ModalScreen[None]):
    """Shows lines to read."""

    CSS_PATH = "editor.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,f2,f3", "leave", "close", id="reading-close"),
        Binding("j,down", "scroll(1)", "down", id="reading-down"),
        Binding("k,up", "scroll(-1)", "up", id="reading-up"),
        Binding("space,pagedown", "scroll(15)", "page", id="reading-page-down"),
        Binding("b,pageup", "scroll(-15)", "back", id="reading-page-up"),
    ]

    def __init__(self, title: str, rows: Callable[[int], Sequence[Line]], empty: str) -> None:
        super().__init__()
        self._title, self._rows, self._empty = title, rows, empty
        self._list = ScrollList(id="reading")

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        with Vertical(classes="dialog"):
            yield self._list

    def on_mount(self) -> None:
        """Fill the list."""
        self._list.show(self._title, self._rows, remark="j and k scroll, esc closes", empty=self._empty)

    def action_scroll(self, rows: int) -> None:
        """Scroll."""
        self._list.move(rows)

    def action_leave(self) -> None:
        """Close."""
        self.dismiss(None)


def answer(word: str, meaning: str) -> tuple[str, Line]:
    """Return a choice of a question: a word, and what it does."""
    return word, line(Span(f" {fit(word, ANSWER_WIDTH)}", "accent"), meaning)
