"""A log over the whole screen: of any size, followed, searched, filtered and copied."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message

from fttui.keys import bindings
from fttui.log.options import Options
from fttui.log.page import LogPage
from fttui.log.pager import Pager, problem_of, with_size
from fttui.log.reader import LogReader
from fttui.screens.run_screen import CockpitScreen
from fttui.snapshot import Snapshot
from fttui.widgets.key_line import KeyLine
from fttui.widgets.log_page import LogPagePanel, LogStatus
from fttui.widgets.prompt import Prompt
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.run import Run

QUESTIONS = {"find": "find a regular expression:", "filter": "show only lines with:"}


class PageRead(Message):
    """The thread that reads the log has a new page."""

    def __init__(self, path: Path, page: LogPage) -> None:
        super().__init__()
        self.path, self.page = path, page

    def can_replace(self, message: Message) -> bool:
        """Only the newest page counts."""
        return isinstance(message, PageRead)


class LinesTaken(Message):
    """Lines of the log, to be copied or written to a file."""

    def __init__(self, lines: list[str], *, to_file: bool) -> None:
        super().__init__()
        self.lines, self.to_file = lines, to_file


class LogView(CockpitScreen):
    """Reads the logs of a run's attempts, or one file."""

    SCOPE = "log"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("log")]

    def __init__(self, path: Path | None = None, title: str = "") -> None:
        super().__init__()
        self._path, self._heading = path, title
        self._attempt: int | None = None
        self._options = Options()
        self._reader: LogReader | None = None
        self._patterns = {"find": "", "filter": ""}
        self._page = LogPage()
        self._text = LogPagePanel(id="log-lines")
        self._status = LogStatus(id="log-status")
        self._prompt = Prompt()
        self._keys = KeyLine("log")

    def compose(self) -> ComposeResult:
        """Lay out the log and the keys."""
        yield self._text
        yield self._status
        yield self._prompt
        yield self._keys

    def on_unmount(self) -> None:
        """End the reading."""
        if self._reader:
            self._reader.close()

    def show(self, snapshot: Snapshot) -> None:
        """Go over to the log of the next attempt when it begins; what is in a log comes from its own thread."""
        if self._path is not None:
            self._read(self._path, self._heading)
        elif run := self.run_shown:
            newest = max(1, run.attempt)
            number = self._attempt or newest
            path = Run(run.run_dir).attempt(number).log_path if self._attempt else run.log_path
            of = f" of {newest}" if newest > 1 else ""
            self._read(path, f"{run.id}  log of attempt {number}{of}")
        self._keys.show(())

    def _read(self, path: Path, title: str) -> None:
        self._heading = one_line(title)
        if self._reader and self._reader.path == path:
            return
        if self._reader:
            self._reader.close()
        self._page = LogPage()

        def post(page: LogPage) -> None:
            self.post_message(PageRead(path, page))

        self._reader = LogReader(path, self._options, post)
        if pattern := self._patterns["filter"]:
            self._ask(lambda pager: pager.filter_by(pattern))

    def on_page_read(self, event: PageRead) -> None:
        """Show a page."""
        if self._reader and event.path == self._reader.path:
            self._page = event.page
            self._text.show(self._heading, event.page)
            self._status.show(event.page)

    def on_log_page_panel_resized(self) -> None:
        """Have pages made for what the other lines leave of the screen."""
        self._fit()

    def _fit(self) -> None:
        width, height = self._text.size
        options = with_size(self._options, width, height - 1)
        if height and options != self._options:
            self._set(options)

    def _set(self, options: Options) -> None:
        self._options = options
        self._ask(lambda pager: pager.set_options(options))

    def _ask(self, wish: Callable[[Pager], object]) -> None:
        if self._reader:
            self._reader.ask(wish)

    # Keys

    def action_scroll(self, rows: int) -> None:
        """Scroll by lines, or extend the selection."""
        self._ask(lambda pager: pager.move(rows))

    def action_scroll_page(self, pages: int) -> None:
        """Scroll by pages, or extend the selection."""
        self._ask(lambda pager: pager.move_pages(pages))

    def action_scroll_to_start(self) -> None:
        """Go to the first line."""
        self._ask(Pager.to_start)

    def action_follow(self) -> None:
        """Go to the end and stay there."""
        self._ask(Pager.follow)

    def action_shift(self, cells: int) -> None:
        """Shift long lines sideways."""
        self._set(replace(self._options, left=max(0, self._options.left + cells)))

    def action_switch(self, name: str) -> None:
        """Switch wrapping, colours or timestamps."""
        is_on = getattr(self._options, name)
        self._set(replace(self._options, **{name: not is_on}))

    def action_rank(self, direction: int) -> None:
        """Show only the next rank's lines."""
        self._ask(lambda pager: pager.next_rank(direction))

    def action_attempt(self, direction: int) -> None:
        """Show the log of another attempt."""
        run = self.run_shown
        if run is None or self._path is not None:
            return
        newest = max(1, run.attempt)
        wanted = min(newest, max(1, (self._attempt or newest) + direction))
        self._attempt = wanted if wanted < newest else None
        if newest == 1:
            self.cockpit.tell(f"{run.id} has had one attempt so far.")
        elif self.cockpit.snapshot:
            self.show(self.cockpit.snapshot)

    def action_ask(self, about: str) -> None:
        """Ask for what to find or to filter by."""
        self._prompt.ask(about, QUESTIONS[about], self._patterns[about], in_place_of=self._keys)

    def on_prompt_answered(self, event: Prompt.Answered) -> None:
        """Find or filter, or say what is wrong with the pattern."""
        pattern = event.text
        if problem := problem_of(pattern):
            self._prompt.say(problem)
            return
        self._prompt.close()
        self._patterns[event.about] = pattern
        if event.about == "find":
            self._ask(lambda pager: pager.search_for(pattern))
        else:
            self._ask(lambda pager: pager.filter_by(pattern))

    def action_find(self, direction: int) -> None:
        """Go to another match."""
        self._ask(lambda pager: pager.find(direction))

    def action_select(self) -> None:
        """Begin or end a selection."""
        self._ask(Pager.select)

    def action_take(self, where: str) -> None:
        """Copy the selection or the screen, or write it to a file."""
        to_file = where == "file"
        self._ask(lambda pager: self.post_message(LinesTaken(pager.text(), to_file=to_file)))
        self._ask(Pager.deselect)

    def on_lines_taken(self, event: LinesTaken) -> None:
        """Copy or write what was taken."""
        if event.to_file:
            run = self.run_shown
            self.cockpit.save(event.lines, run.id if run and self._path is None else "log")
        else:
            self.cockpit.copy("\n".join(event.lines))

    def action_back(self) -> None:
        """Give up the selection, else go one screen back."""
        if self._page.selected_lines:
            self._ask(Pager.deselect)
        else:
            super().action_back()
