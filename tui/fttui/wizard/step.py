"""What the steps of a new run have in common: choices, a field to type into, and what follows from the choice."""

import contextlib
from collections.abc import Sequence
from threading import Thread
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Label

from fttui.keys import Scope
from fttui.lines import Line, Role, Span, fit, line, wrap
from fttui.widgets.choice_list import Choice, ChoiceList
from fttui.widgets.scroll_list import ScrollList
from fttui.wizard.draft import Draft
from fttui.wizard.wish import Wish
from fttui_engine.runs.logs import one_line

if TYPE_CHECKING:
    from collections.abc import Callable


class WishChanged(Message):
    """Something else was chosen."""

    def __init__(self, wish: Wish) -> None:
        super().__init__()
        self.wish = wish


class OffersFound(Message):
    """A thread has found what there is to choose from."""

    def __init__(self, typed: str, choices: Sequence[Choice]) -> None:
        super().__init__()
        self.typed, self.choices = typed, choices


class Step(Vertical):
    """One step: a list, a line to type into, and a panel that says what the choice amounts to."""

    DEFAULT_CSS = """
    Step { display: none; height: 1fr; }
    Step.-open { display: block; }
    Step ChoiceList { height: 40%; min-height: 5; }
    Step .field-row { height: 1; }
    Step .field-row Label { width: auto; color: $text-accent; padding: 0 1; }
    Step .field-row Input { width: 1fr; background: $surface; }
    Step ScrollList { height: 1fr; }
    """
    TITLE: ClassVar[str]
    SCOPE: ClassVar[Scope] = "new-run"
    LABEL: ClassVar[str] = ""
    PLACEHOLDER: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.choices = ChoiceList()
        self.field = Input(placeholder=self.PLACEHOLDER, compact=True, select_on_focus=False)
        self.panel = ScrollList()
        self.draft = Draft()

    def compose(self) -> ComposeResult:
        """Lay out list, field and panel."""
        yield self.choices
        if self.LABEL:
            with Horizontal(classes="field-row"):
                yield Label(self.LABEL)
                yield self.field
        yield self.panel

    def open(self, draft: Draft) -> None:
        """Become the step in front."""
        self.draft = draft
        self.add_class("-open")
        if self.LABEL:
            self.field.focus()
        else:
            self.focus()
        # The panels have no size before they were laid out.
        self.call_after_refresh(self.show, draft)

    def close(self) -> None:
        """Give way to another step."""
        self.remove_class("-open")

    def show(self, draft: Draft) -> None:
        """Show what is known by now."""

    def mark(self, rows: int) -> None:
        """Mark another choice."""
        if self.choices.move(rows) and self.choices.marked:
            self.choose(self.choices.marked.value)

    def choose(self, value: str) -> None:
        """Take the choice that was marked."""

    def complete(self) -> None:
        """Put the marked choice, or else the first that goes on with what was typed, into the field."""

    def scroll(self, pages: int) -> None:
        """Scroll the panel."""
        self.panel.move_pages(pages)

    def confirm(self) -> bool:
        """Whether enter leads on to the next step."""
        return True

    def give_up(self) -> bool:
        """Cancel what is under way; False where nothing is, and esc leads back."""
        return False

    def change(self, wish: Wish) -> None:
        """Tell that something else was chosen."""
        self.post_message(WishChanged(wish))


class SearchStep(Step):
    """A step whose field says where to look: what is typed filters the list, and may be taken as it stands."""

    NAME_WIDTH: ClassVar[int]

    def open(self, draft: Draft) -> None:
        """Become the step in front, with what was chosen before."""
        super().open(draft)
        with self.prevent(Input.Changed):
            self.field.value = self.chosen(draft.wish)
        self.field.cursor_position = len(self.field.value)
        self.find()

    def chosen(self, wish: Wish) -> str:
        """Return what this step is about in a wish."""
        raise NotImplementedError

    def with_choice(self, value: str) -> Wish:
        """Return the wish with another choice."""
        raise NotImplementedError

    def offers(self, typed: str, draft: Draft) -> Sequence[Choice]:
        """Find what there is to choose from; runs in a thread."""
        raise NotImplementedError

    def configured(self) -> str:
        """Return what profile and file say where nothing is chosen here."""
        raise NotImplementedError

    def _first_choice(self, typed: str) -> Choice:
        """Return the row that takes what was typed, or what profile and file say."""
        if typed:
            return Choice(typed, line(Span(fit(typed, self.NAME_WIDTH)), Span("  as typed", "dim")))
        return Choice("", line(Span(fit(self.configured(), self.NAME_WIDTH)), Span("  as configured", "dim")))

    def show_first_anew(self) -> None:
        """Show what profile and file say, which is known only once the configuration was judged."""
        rows = self.choices.choices
        if rows and not rows[0].value:
            self.choices.show(
                self.heading(),
                [self._first_choice(""), *rows[1:]],
                at=self.choices.at,
                columns=self.columns(),
            )

    def find(self) -> None:
        """Look for what there is, in a thread: folders may be on a slow disk."""
        typed, draft = self.field.value.strip(), self.draft

        def search() -> None:
            try:
                found = self.offers(typed, draft)
            except OSError:
                # The present folder was deleted: there is nothing here to offer, and the check says why.
                found = ()
            post_back(self, OffersFound(typed, found))

        Thread(target=search, daemon=True, name="fttui-offers").start()

    def on_offers_found(self, event: OffersFound) -> None:
        """List what was found for what stands in the field now."""
        event.stop()
        typed = self.field.value.strip()
        if event.typed != typed:
            return
        others = [each for each in event.choices if each.value != typed]
        self.choices.show(self.heading(), [self._first_choice(typed), *others], columns=self.columns())

    def heading(self) -> str:
        """Return what stands above the list."""
        return self.TITLE

    def columns(self) -> Line:
        """Return the titles of the columns."""
        return ()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Take what is typed, and look for what it may be the beginning of."""
        event.stop()
        self.change(self.with_choice(event.value.strip()))
        self.find()

    def choose(self, value: str) -> None:
        """Take the marked row, unless it is a folder, which leads further only on enter or tab."""
        self.change(self.with_choice(self.field.value.strip() if value.endswith("/") else value))

    def complete(self) -> None:
        """Put the marked row into the field, or the first after what was typed."""
        rows = self.choices.choices
        row = self.choices.marked if self.choices.at else (rows[1] if len(rows) > 1 else None)
        if row:
            self.field.value = row.value
            self.field.cursor_position = len(row.value)

    def confirm(self) -> bool:
        """Go into the marked folder, or on to the next step."""
        row = self.choices.marked
        if row and self.choices.at and row.value.endswith("/"):
            self.complete()
            return False
        if row and self.choices.at:
            with self.prevent(Input.Changed):
                self.field.value = row.value
        return True


def post_back(step: Step, message: Message) -> None:
    """Post what a thread has found; after the end there is nobody to tell."""
    with contextlib.suppress(RuntimeError):
        step.post_message(message)


def sentence(text: str, width: int, role: Role = "plain") -> list[Line]:
    """Break a text to lines with a margin."""
    return [line(" ", *one) for one in wrap(one_line(text), max(8, width - 2), role)]


def paragraphs(texts: "Sequence[tuple[str, Role]]") -> "Callable[[int], list[Line]]":
    """Return what lays out texts for a width, an indented one as it stands."""

    def lay_out(width: int) -> list[Line]:
        lines: list[Line] = []
        for text, role in texts:
            lines += (
                [line(Span(f" {one_line(text)}", role))]
                if text.startswith("  ")
                else sentence(text, width, role)
            )
            if not text:
                lines.append(line(""))
        return lines

    return lay_out
