"""How the editor saves: in one piece, never over what somebody else has written, under this name or another."""

import os
from collections.abc import Callable
from pathlib import Path

from fttui.editor.document import NEW_NAME, Document
from fttui.editor.files import OpenedFile, content_now, open_file, save_file
from fttui.screens.editor_dialogs import AskText, PickOne, Reading, answer
from fttui.screens.editor_files import EditorFiles
from fttui.screens.editor_reading import text_difference
from fttui_engine.errors import FttuiError, WrongRequestError


class EditorSaving(EditorFiles):
    """The way of a document to the disk."""

    def action_save(self) -> None:
        """Save; a document without a file is given one."""
        if self.document and self.finish_typing():
            if self.document.opened is None:
                self.action_save_as()
            else:
                self.save_to(self.document.opened)

    def action_save_as(self, then: Callable[[], object] | None = None) -> None:
        """Save under another name."""
        document = self.document
        if document is None or not self.finish_typing():
            return

        def named(path: str | None) -> None:
            if path:
                self.in_thread(lambda: open_file(Path(path)), lambda opened: self._save_new(opened, then))

        proposed = document.path_text or os.path.join(".", NEW_NAME)
        self.app.push_screen(AskText("Save as", proposed, check=_check_path), named)

    def _save_new(self, opened: OpenedFile, then: Callable[[], object] | None) -> None:
        if opened.content is None or (self.document and opened.path == Path(self.document.path_text)):
            self.save_to(opened, then)
            return
        answers = [answer("overwrite", "replace what is in it"), answer("cancel", "leave it as it is")]
        self.app.push_screen(
            PickOne(f"{opened.path.name} is there already", answers, at="cancel"),
            lambda chosen: self.save_to(opened, then, force=True) if chosen == "overwrite" else None,
        )

    def save_to(
        self, opened: OpenedFile, then: Callable[[], object] | None = None, *, force: bool = False
    ) -> None:
        """Write the text to a file that was read before; ``force`` also over what somebody else wrote since."""
        document = self.document
        if document is None or self.is_saving:
            return
        text, self.is_saving = document.text, True

        def work() -> OpenedFile | None:
            now = content_now(opened.path)
            if not force and now is not None and now != opened.content:
                return None
            return save_file(opened, text)

        def saved(result: OpenedFile | None) -> None:
            self.is_saving = False
            if result is None:
                self._ask_about_conflict(opened, then)
                return
            self.changed_on_disk = False
            document.is_now(result, text)
            self.cockpit.tell(f"Saved. {_how_to_start(document)}")
            self.show_all()
            self.ask(at_once=True)
            if then:
                then()

        def failed(error: FttuiError) -> None:
            self.is_saving = False
            self.tell_error(error)

        self.in_thread(_as_fttui_error(work, opened.path), saved, failed)

    def _ask_about_conflict(self, opened: OpenedFile, then: Callable[[], object] | None) -> None:
        def answered(chosen: str | None) -> None:
            if chosen == "overwrite":
                self.save_to(opened, then, force=True)
            elif chosen == "reload":
                self.in_thread(lambda: open_file(opened.path), self._reloaded)
            elif chosen == "difference":
                self.in_thread(
                    lambda: open_file(opened.path), lambda now: self._show_conflict(now, opened, then)
                )

        self.app.push_screen(
            PickOne(
                f"{opened.path.name} was changed by somebody else",
                [
                    answer("difference", "show what differs, then ask again"),
                    answer("overwrite", "save this text in place of theirs"),
                    answer("reload", "take theirs; undo leads back to this text"),
                    answer("cancel", "do neither"),
                ],
            ),
            answered,
        )

    def _show_conflict(self, now: OpenedFile, opened: OpenedFile, then: Callable[[], object] | None) -> None:
        mine = self.document.text if self.document else ""
        self.app.push_screen(
            Reading(
                f"Difference  {now.path.name}",
                lambda width: text_difference(now.text, mine, width),
                "They are the same.",
            ),
            lambda _: self._ask_about_conflict(opened, then),
        )


def _check_path(text: str) -> None:
    if not text:
        raise WrongRequestError("a file needs a name", "type one, such as run.yaml")


def _how_to_start(document: Document) -> str:
    profile = f" --profile {document.profile}" if document.profile else ""
    return f"f5 starts it here, elsewhere: fttui start {document.path_text}{profile}"


def _as_fttui_error(work: Callable[[], OpenedFile | None], path: Path) -> Callable[[], OpenedFile | None]:
    def guarded() -> OpenedFile | None:
        try:
            return work()
        except OSError as error:
            raise WrongRequestError(
                f"{path} cannot be read: {error.strerror}", "save under another name (w)"
            ) from error

    return guarded
