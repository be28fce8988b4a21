"""What the parts of the editor share: the document, work in threads, and how a change of the text is made."""

import contextlib
from collections.abc import Callable
from threading import Thread
from typing import TYPE_CHECKING, TypeVar, cast

from textual.message import Message
from textual.screen import Screen

from fttui.editor.document import Document, Source
from fttui.editor.judging import Judge, Judgement, Question
from fttui_engine.errors import FttuiError

if TYPE_CHECKING:
    from fttui.cockpit import Cockpit

Result = TypeVar("Result")


class WorkDone(Message):
    """A thread of the editor is done; ``then`` shows what came of it."""

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__()
        self.then = then


class Judged(Message):
    """The judge has judged a text."""

    def __init__(self, judgement: Judgement) -> None:
        super().__init__()
        self.judgement = judgement


class EditorBase(Screen[None]):
    """Holds the document; subclasses show it and save it."""

    def __init__(self, source: Source, *, ends_program: bool = False) -> None:
        super().__init__()
        self.source = source
        self.ends_program = ends_program
        self.document: Document | None = None
        self.judgement: Judgement | None = None
        self.judge: Judge | None = None
        self._asked = 0
        self._when_judged: Callable[[], object] | None = None

    @property
    def cockpit(self) -> "Cockpit":
        """The application."""
        return cast("Cockpit", self.app)

    @property
    def is_judged(self) -> bool:
        """Whether the newest text has its judgement."""
        return self.judgement is not None and self.judgement.question.number == self._asked

    def tell_error(self, error: FttuiError) -> None:
        """Say what is wrong and what to do."""
        self.cockpit.tell(f"{error.message}: {error.hint}." if error.hint else error.message, "error")

    def in_thread(
        self,
        work: Callable[[], Result],
        then: Callable[[Result], object],
        otherwise: Callable[[FttuiError], object] | None = None,
    ) -> None:
        """Do what touches a disk where it holds up no key, and then show what came of it."""

        def do() -> None:
            try:
                result = work()
            except FttuiError as error:
                trouble = error
                self.post_safely(WorkDone(lambda: (otherwise or self.tell_error)(trouble)))
            else:
                self.post_safely(WorkDone(lambda: then(result)))

        Thread(target=do, daemon=True, name="fttui-editor-file").start()

    def post_safely(self, message: Message) -> None:
        """Post from a thread; after the end there is nobody to tell."""
        with contextlib.suppress(RuntimeError):
            self.post_message(message)

    def on_work_done(self, event: WorkDone) -> None:
        """Show what a thread has done."""
        event.then()

    def ask(self, text: str | None = None, *, at_once: bool = False) -> None:
        """Have the text judged, or the one that it would become."""
        document = self.document
        if document and self.judge:
            self._asked += 1
            wanted = document.text if text is None else text
            question = Question(self._asked, wanted, document.saved, document.name, document.profile)
            self.judge.ask(question, at_once=at_once)

    def when_judged(self, then: Callable[[], object]) -> None:
        """Do something as soon as the newest text has its judgement."""
        if self.is_judged:
            then()
        else:
            self._when_judged = then

    def judged(self, judgement: Judgement) -> None:
        """Take in a judgement, and do what waited for it."""
        self.judgement = judgement
        if self.is_judged and self._when_judged:
            then, self._when_judged = self._when_judged, None
            then()

    def close(self, *, drops: bool = False) -> None:
        """Close the editor."""
        if self.judge:
            self.judge.close()
        if self.document:
            self.document.draft.close(drops=drops)
        if self.ends_program:
            self.app.exit()
        elif self in self.app.screen_stack:
            self.app.pop_screen()

    def change_text(self, text: str, at: str) -> None:
        """Make a change that was not typed into the text."""
        raise NotImplementedError

    def show_all(self) -> None:
        """Show document and judgement."""
        raise NotImplementedError

    def finish_typing(self) -> bool:
        """Take over a value that is being typed; False where it is not right."""
        raise NotImplementedError
