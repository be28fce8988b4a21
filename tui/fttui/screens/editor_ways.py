"""The ways out of the editor: the user's own editor and back, a run that is started, and leaving."""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from textual.app import SuspendNotSupported

from fttui.editor.drafts import drafts_folder
from fttui.editor.files import open_file
from fttui.screens.editor_dialogs import AskText, PickOne, answer
from fttui.screens.editor_saving import EditorSaving
from fttui_engine.errors import FttuiError
from fttui_engine.runs.run import check_name

EDITORS = ("nano", "vim", "vi")


class EditorWays(EditorSaving):
    """What follows on editing."""

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
        proposed = resolved.run.name or default_name(resolved)

        def named(name: str | None) -> None:
            if name and self.document:
                self.cockpit.start(name, resolved)
                self.ends_program = False
                if not (self.document.is_changed and self.document.opened):
                    self.close(drops=True)

        self.app.push_screen(AskText("Name of the run", proposed, about=about, check=check_name), named)

    def leave(self) -> None:
        """Leave, once it is said what becomes of changes that are not saved."""
        document = self.document
        if document is None or not document.is_changed:
            self.close(drops=True)
            return

        def answered(chosen: str | None) -> None:
            if chosen == "save":
                self.save_to(document.opened, self.close) if document.opened else self.action_save_as(
                    self.close
                )
            elif chosen == "discard":
                self.close(drops=True)
            elif chosen == "keep a draft":
                self.in_thread(
                    lambda: document.draft.keep(document.profile, document.text), lambda _: self.close()
                )

        self.app.push_screen(
            PickOne(
                "There are changes that are not saved",
                [
                    answer("save", "write the file"),
                    answer("keep a draft", "it is offered when this is opened again"),
                    answer("discard", "forget them"),
                ],
                about=document.path_text or "This configuration has no file yet.",
            ),
            answered,
        )


def editor_command() -> list[str]:
    """Return the user's editor as words of a command: VISUAL, EDITOR, or the simplest that is installed."""
    text = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return words or [next((name for name in EDITORS if shutil.which(name)), "vi")]
