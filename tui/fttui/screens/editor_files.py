"""What the editor does with files: opening, drafts, saving, changes of others, $EDITOR, starting a run, leaving."""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from textual.app import SuspendNotSupported

from fttui.editor.document import NEW_NAME, Document, Loaded, load
from fttui.editor.drafts import Draft, drafts_folder
from fttui.editor.files import OpenedFile, content_now, open_file, save_file
from fttui.editor.judging import Judge, Question
from fttui.lines import Line, Span, fit, line
from fttui.screens.editor_base import EditorBase, Judged, WorkDone
from fttui.screens.editor_dialogs import AskText, PickOne, Reading
from fttui.screens.editor_reading import text_difference
from fttui_engine.errors import FttuiError, WrongRequestError
from fttui_engine.runs.run import check_name

DISK_SECONDS = 2.0
EDITORS = ("nano", "vim", "vi")
ANSWER_WIDTH = 14


def _answer(word: str, meaning: str) -> tuple[str, Line]:
    return word, line(Span(f" {fit(word, ANSWER_WIDTH)}", "accent"), meaning)


class EditorFiles(EditorBase):
    """The way of a document from and to the disk."""

    _seen: object = None
    """The state of the file that was looked at last; used by the judge's thread alone."""
    _adopted: Path | None = None
    """A draft that was restored; dropped once our own holds its text."""
    changed_on_disk = False

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

        def answered(answer: str | None) -> None:
            if answer == "restore" and self.document:
                self._adopted = draft.file
                self.document.profile = draft.profile or self.document.profile
                self.change_text(draft.text, "the draft")
            elif answer == "discard":
                self.in_thread(lambda: draft.file.unlink(missing_ok=True), lambda _: None)

        self.app.push_screen(
            PickOne(
                "An unsaved draft",
                [
                    _answer("restore", "go on with it; undo leads back to the file"),
                    _answer("discard", "forget it"),
                    _answer("later", "leave it where it is"),
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
            except FttuiError as error:
                trouble = error
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

    # Saving

    def action_save(self) -> None:
        """Save; a document without a file is given one."""
        if self.document and self.finish_typing():
            if self.document.opened is None:
                self.action_save_as()
            else:
                self._save(self.document.opened)

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
            self._save(opened, then)
            return
        answers = [_answer("overwrite", "replace what is in it"), _answer("cancel", "leave it as it is")]
        self.app.push_screen(
            PickOne(f"{opened.path.name} is there already", answers, at="cancel"),
            lambda answer: self._save(opened, then, force=True) if answer == "overwrite" else None,
        )

    def _save(
        self, opened: OpenedFile, then: Callable[[], object] | None = None, *, force: bool = False
    ) -> None:
        document = self.document
        if document is None:
            return
        text = document.text

        def work() -> OpenedFile | None:
            now = content_now(opened.path)
            if not force and now is not None and now != opened.content:
                return None
            return save_file(opened, text)

        def saved(result: OpenedFile | None) -> None:
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

        self.in_thread(_as_fttui_error(work, opened.path), saved)

    def _ask_about_conflict(self, opened: OpenedFile, then: Callable[[], object] | None) -> None:
        def answered(answer: str | None) -> None:
            if answer == "overwrite":
                self._save(opened, then, force=True)
            elif answer == "reload":
                self.in_thread(lambda: open_file(opened.path), self._reloaded)
            elif answer == "difference":
                self.in_thread(
                    lambda: open_file(opened.path), lambda now: self._show_conflict(now, opened, then)
                )

        self.app.push_screen(
            PickOne(
                f"{opened.path.name} was changed by somebody else",
                [
                    _answer("difference", "show what differs, then ask again"),
                    _answer("overwrite", "save this text in place of theirs"),
                    _answer("reload", "take theirs; undo leads back to this text"),
                    _answer("cancel", "do neither"),
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

    # Another editor

    def action_external(self) -> None:
        """Hand the terminal to the user's own editor, and take what it leaves."""
        document = self.document
        if document is None or not self.finish_typing():
            return
        words = editor_command()
        folder = drafts_folder(self.cockpit.home)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Its own folder, so that the editor sees the file's name; 0700, as mkdtemp makes it.
            with tempfile.TemporaryDirectory(dir=folder) as name:
                path = Path(name) / document.name
                path.write_text(document.text, encoding="utf-8", newline="")
                code = self._run_editor([*words, str(path)])
                text = open_file(path).text
        except SuspendNotSupported:
            self.cockpit.tell("This terminal cannot be handed to another program.", "warning")
            return
        except OSError as error:
            self.cockpit.tell(f"{words[0]}: {error.strerror}. Set VISUAL or EDITOR.", "error")
            return
        except FttuiError as error:
            self.tell_error(error)
            return
        if code:
            self.cockpit.tell(f"{words[0]} ended with exit code {code}; what it saved is taken.", "warning")
        self.change_text(text, words[0])

    def _run_editor(self, command: list[str]) -> int:
        # Ctrl+C belongs to the editor; a handler is not inherited, as ignoring it would be.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            with self.app.suspend():
                try:
                    return subprocess.run(command, check=False).returncode
                except OSError as error:
                    trouble = error
            raise trouble
        finally:
            signal.signal(signal.SIGINT, before)

    # Starting and leaving

    def action_start(self) -> None:
        """Start a run from what is shown, once it has been judged."""
        if self.document and self.finish_typing():
            self.when_judged(self._ask_name)

    def _ask_name(self) -> None:
        resolved = self.judgement.resolved if self.judgement else None
        if resolved is None or not resolved.ok:
            self.cockpit.tell("There are errors; n shows one after the other.", "warning")
            return
        from fttui_engine.launch.verbs import default_name

        about = (
            ""
            if not (self.document and self.document.is_changed)
            else "It starts as shown; the file is not saved."
        )
        name = resolved.run.name or default_name(resolved)

        def named(answer: str | None) -> None:
            if answer and self.document:
                self.cockpit.start(answer, resolved)
                self.ends_program = False
                if not (self.document.is_changed and self.document.opened):
                    self.close(drops=True)

        self.app.push_screen(AskText("Name of the run", name, about=about, check=check_name), named)

    def leave(self) -> None:
        """Leave, once it is said what becomes of changes that are not saved."""
        document = self.document
        if document is None or not document.is_changed:
            self.close(drops=True)
            return

        def answered(answer: str | None) -> None:
            if answer == "save":
                self._save(document.opened, self.close) if document.opened else self.action_save_as(
                    self.close
                )
            elif answer == "discard":
                self.close(drops=True)
            elif answer == "keep a draft":
                self.in_thread(
                    lambda: document.draft.keep(document.profile, document.text), lambda _: self.close()
                )

        self.app.push_screen(
            PickOne(
                "There are changes that are not saved",
                [
                    _answer("save", "write the file"),
                    _answer("keep a draft", "it is offered when this is opened again"),
                    _answer("discard", "forget them"),
                ],
                about=document.path_text or "This configuration has no file yet.",
            ),
            answered,
        )

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


def editor_command() -> list[str]:
    """Return the user's editor as words of a command: VISUAL, EDITOR, or the simplest that is installed."""
    text = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return words or [next((name for name in EDITORS if shutil.which(name)), "vi")]


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
