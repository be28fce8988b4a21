"""How the editor opens what is wanted, keeps its draft, and notices what others do to the file."""

import time
from pathlib import Path

from fttui.editor.document import Document, Loaded, load
from fttui.editor.drafts import Draft
from fttui.editor.files import OpenedFile, content_now, open_file
from fttui.editor.judging import Judge, Question
from fttui.screens.editor_base import EditorBase, Judged, WorkDone
from fttui.screens.editor_dialogs import PickOne, answer
from fttui_engine.errors import FttuiError

DISK_SECONDS = 2.0


class EditorFiles(EditorBase):
    """The way of a document from the disk, and what is kept of it."""

    _seen: object = None
    """The state of the file that was looked at last; used by the judge's thread alone."""
    _adopted: Path | None = None
    """A draft that was restored; dropped once our own holds its text."""
    _draft_trouble = ""
    changed_on_disk = False
    is_saving = False

    def on_mount(self) -> None:
        """Open what is wanted."""
        home = self.cockpit.home
        self.in_thread(lambda: load(self.source, home), self._loaded, self._refused)

    def on_unmount(self) -> None:
        """End the judge; a draft stays."""
        if self.judge:
            self.judge.close()
        if self.document:
            self.document.draft.close(drops=False)

    def _refused(self, error: FttuiError) -> None:
        self.tell_error(error)
        self.close()

    def _loaded(self, loaded: Loaded) -> None:
        self.document = loaded.document
        self.judge = Judge(lambda judged: self.post_safely(Judged(judged)), self._beside, DISK_SECONDS)
        self.show_all()
        self.ask(at_once=True)
        if loaded.other_editor:
            self.cockpit.tell(
                f"Process {loaded.other_editor} has unsaved changes of this file too.", "warning"
            )
        if loaded.draft:
            self._offer(loaded.draft)

    def _offer(self, draft: Draft) -> None:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(draft.written_at))
        where = f" on {draft.host}" if draft.host else ""

        def answered(chosen: str | None) -> None:
            if chosen == "restore" and self.document:
                self._adopted = draft.file
                self.document.profile = draft.profile or self.document.profile
                self.change_text(draft.text, "the draft")
            elif chosen == "discard":
                self.in_thread(lambda: draft.file.unlink(missing_ok=True), lambda _: None)

        self.app.push_screen(
            PickOne(
                "An unsaved draft",
                [
                    answer("restore", "go on with it; undo leads back to the file"),
                    answer("discard", "forget it"),
                    answer("later", "leave it where it is"),
                ],
                about=f"Changes of {when}{where} were never saved.",
            ),
            answered,
        )

    # Beside the judging, in its thread

    def _beside(self, question: Question | None) -> None:
        """Keep the draft of a text that is about to be judged, and look at the file."""
        document = self.document
        if document is None:
            return
        if question is not None:
            try:
                self._keep(document, question)
                self._draft_trouble = ""
            except FttuiError as error:
                trouble = error
                # Said once, and not after every letter.
                if trouble.message != self._draft_trouble:
                    self._draft_trouble = trouble.message
                    self.post_safely(WorkDone(lambda: self.tell_error(trouble)))
        if document.opened:
            self._look_at(document.opened)

    def _keep(self, document: Document, question: Question) -> None:
        if question.text == question.saved:
            document.draft.drop()
            return
        document.draft.keep(question.profile, question.text)
        if self._adopted:
            self._adopted.unlink(missing_ok=True)
            self._adopted = None

    def _look_at(self, opened: OpenedFile) -> None:
        try:
            status = opened.path.stat()
            seen: object = (opened.path, status.st_mtime_ns, status.st_size, status.st_ino)
            now = opened.content if seen == self._seen else content_now(opened.path)
        except OSError as error:
            seen, now = str(error), None
        if self.is_saving:
            # Ours, half known: what it holds then is told with the save.
            return
        if seen != self._seen and now != opened.content and opened.content is not None:
            self.post_safely(WorkDone(lambda: self._found_changed(opened, is_gone=now is None)))
        self._seen = seen

    def _found_changed(self, opened: OpenedFile, *, is_gone: bool) -> None:
        document = self.document
        if document is None or document.opened is not opened:
            return
        if is_gone:
            self.cockpit.tell(f"{opened.path} is gone. ctrl+s writes it again.", "warning")
        elif document.is_changed:
            self.changed_on_disk = True
            self.cockpit.tell(
                f"{opened.path} was changed by somebody else. ctrl+s asks what to do.", "warning"
            )
            self.show_all()
        else:
            self.in_thread(lambda: open_file(opened.path), self._reloaded)

    def _reloaded(self, opened: OpenedFile) -> None:
        if self.document is None:
            return
        self.changed_on_disk = False
        self.document.is_now(opened, opened.text)
        self.cockpit.tell(f"{opened.path} was changed by somebody else, and is read again. Undo leads back.")
        self.change_text(opened.text, "the file")
