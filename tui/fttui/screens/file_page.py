"""The files of a run, in its folder and in its output folder."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from fttui import figures
from fttui.keys import bindings
from fttui.lines import Line, Span, fit, fit_right, line
from fttui.poller import Poller
from fttui.screens.list_page import ListPage
from fttui.screens.log_view import LogView
from fttui.snapshot import RunDetail, Snapshot
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.run import Run
from fttui_engine.runs.summary import RunSummary

READ_SECONDS = 2.0
MOST_FILES = 2_000
DEEPEST = 4
YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file; ``name`` is its path below the folder."""

    folder: Path
    name: str
    size_bytes: int
    modified_at: float

    @property
    def path(self) -> Path:
        """The whole path."""
        return self.folder / self.name


@dataclass(frozen=True, slots=True)
class FolderListing:
    """The files of some folders, at most so many."""

    files: tuple[FileEntry, ...] = ()
    is_cut: bool = False


class FilesRead(Message):
    """The thread that lists files has a list."""

    def __init__(self, listing: FolderListing) -> None:
        super().__init__()
        self.listing = listing


class FilePage(ListPage):
    """Lists the files of a run."""

    SCOPE = "files"
    HAS_CURSOR = True
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("files")]

    def __init__(self) -> None:
        super().__init__()
        self._folders: tuple[Path, ...] = ()
        self._files: tuple[FileEntry, ...] = ()
        self._poller: Poller[FolderListing] | None = None

    def on_mount(self) -> None:
        """Begin to read."""
        self._poller = Poller(
            "files",
            lambda: list_files(self._folders),
            lambda listing: self.post_message(FilesRead(listing)),
            READ_SECONDS,
        )

    def on_unmount(self) -> None:
        """End the reading."""
        if self._poller:
            self._poller.close()

    def show_run(self, run: RunSummary, detail: RunDetail | None, snapshot: Snapshot) -> None:
        """Say which folders are to be listed."""
        inside = run.output_dir.is_relative_to(run.run_dir)
        folders = (run.run_dir,) if inside else (run.run_dir, run.output_dir)
        if folders != self._folders:
            self._folders = folders
            if self._poller:
                self._poller.wake()
        self._keys.show(())

    def on_files_read(self, event: FilesRead) -> None:
        """Show the list; the cursor stays on its file."""
        chosen = self._chosen()
        self._files = event.listing.files
        if chosen:
            paths = [each.path for each in self._files]
            self._list.cursor = paths.index(chosen.path) if chosen.path in paths else self._list.cursor
        total = figures.memory(sum(each.size_bytes for each in self._files))
        more = " and more" if event.listing.is_cut else ""
        self._list.show(
            "Files",
            lambda width: [
                file_line(each, several=len(self._folders) > 1, width=width) for each in self._files
            ],
            remark=f"{len(self._files)}{more}, {total}",
            columns=line(Span("    SIZE  CHANGED         FILE", "dim")),
            empty="There are none.",
        )

    def _chosen(self) -> FileEntry | None:
        return self._files[self._list.cursor] if self._list.cursor < len(self._files) else None

    def action_open_file(self) -> None:
        """Read the file under the cursor as a log."""
        if chosen := self._chosen():
            self.app.push_screen(LogView(chosen.path, chosen.name))

    def action_edit_file(self) -> None:
        """Edit the YAML file under the cursor; that of the run itself stays as it is, and a copy is edited."""
        from fttui.editor.document import Source

        chosen = self._chosen()
        if chosen is None:
            return
        run = self.run_shown
        if run and chosen.path == Run(run.run_dir).spec_path:
            self.cockpit.edit(Source(run_id=run.id))
        elif chosen.path.suffix in YAML_SUFFIXES:
            self.cockpit.edit(Source(path=chosen.path))
        else:
            self.cockpit.tell("Only YAML files can be edited here; enter reads this one.", "warning")

    def action_copy_path(self) -> None:
        """Copy the path of the file under the cursor."""
        if chosen := self._chosen():
            self.cockpit.copy(str(chosen.path))


def list_files(folders: tuple[Path, ...]) -> FolderListing:
    """List the files of some folders, those of each folder before those of the folders in it."""
    files: list[FileEntry] = []
    for folder in folders:
        for entry in _walk(folder, folder, DEEPEST):
            if len(files) >= MOST_FILES:
                return FolderListing(tuple(files), is_cut=True)
            files.append(entry)
    return FolderListing(tuple(files))


def _walk(folder: Path, top: Path, depth: int) -> Iterator[FileEntry]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    inside: list[Path] = []
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                inside.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                name = str(Path(entry.path).relative_to(top))
                yield FileEntry(top, name, status.st_size, status.st_mtime)
        except OSError:
            # It was deleted while the folder was read.
            continue
    for each in inside if depth > 1 else ():
        yield from _walk(each, top, depth - 1)


def file_line(entry: FileEntry, *, several: bool, width: int) -> Line:
    """Return one row."""
    changed = time.strftime("%m-%d %H:%M:%S", time.localtime(entry.modified_at))
    name = one_line(str(entry.path) if several else entry.name)
    return line(
        f" {fit_right(figures.memory(entry.size_bytes), 7)}  ",
        Span(f"{changed}  ", "dim"),
        fit(name, max(8, width - 26)),
    )
