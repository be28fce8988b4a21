"""What the editor has open: the text with its past, its file, and the profile below it."""

from pathlib import Path
from typing import NamedTuple

from fttui.editor.drafts import Draft, DraftKeeper, edited_elsewhere, left_behind
from fttui.editor.files import OpenedFile, open_file
from fttui.editor.history import History
from fttui.editor.run_text import text_of_run
from fttui_engine.runs.home import runs_folder
from fttui_engine.runs.run import Run

NEW_NAME = "new.yaml"


class Source(NamedTuple):
    """What to open: a file, the configuration of a run, or a text that somebody else began."""

    path: Path | None = None
    profile: str = ""
    text: str = ""
    run_id: str = ""


class Document:
    """A text that is edited; ``saved`` is what it was when it was opened or saved last."""

    def __init__(self, opened: OpenedFile | None, text: str, profile: str, home: Path) -> None:
        self.opened = opened
        self.profile = profile
        self.saved = text
        self.history = History(text)
        self.home = home
        self.draft = DraftKeeper(home, self.path_text)

    @property
    def path_text(self) -> str:
        """The path of the file; empty for a text that has none yet."""
        return str(self.opened.path) if self.opened else ""

    @property
    def name(self) -> str:
        """The name of the file, which findings begin with."""
        return self.opened.path.name if self.opened else NEW_NAME

    @property
    def text(self) -> str:
        """The text as it is now."""
        return self.history.text

    @property
    def is_changed(self) -> bool:
        """Whether leaving would lose something."""
        return self.text != self.saved

    def is_now(self, opened: OpenedFile, text: str) -> None:
        """Take in that a text was saved to a file, or read from it."""
        is_new = self.opened is None or self.opened.path != opened.path
        self.opened, self.saved = opened, text
        if is_new:
            self.draft.close(drops=True)
            self.draft = DraftKeeper(self.home, self.path_text)


class Loaded(NamedTuple):
    """A document that was opened, a draft of it that somebody left behind, and who else edits it now."""

    document: Document
    draft: Draft | None = None
    other_editor: int | None = None


def load(source: Source, home: Path) -> Loaded:
    """Open what is wanted; raises FttuiError that says why it cannot be."""
    if source.profile:
        from fttui_engine.spec.profiles import load_profile

        load_profile(source.profile)
    if source.run_id:
        text = text_of_run(source.run_id, Run(runs_folder(home) / source.run_id).spec_path)
        return Loaded(Document(None, text, source.profile, home))
    if source.path is None:
        document = Document(None, source.text, source.profile, home)
        return Loaded(document, None if source.text else left_behind(home, ""))
    opened = open_file(source.path)
    document = Document(opened, opened.text, source.profile, home)
    draft = left_behind(home, document.path_text)
    if draft and draft.text == opened.text:
        draft.file.unlink(missing_ok=True)
        draft = None
    return Loaded(document, draft, edited_elsewhere(home, document.path_text))
