"""A screenful of a log, and the line that says what is searched, filtered and selected."""

import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import FrameType

from textual import events
from textual.message import Message

from fttui import figures
from fttui.lines import Line, Span, fit_line, line, rule, spread, text_of
from fttui.log.page import Found, LogPage, Row
from fttui.log.scan import compiled
from fttui.widgets.line_panel import LinePanel
from fttui_engine.runs.logs import one_line

HIGHLIGHT_SECONDS = 0.05
"""A pattern that takes longer for one screenful is not highlighted: it must not hold up the keys."""


class LogPagePanel(LinePanel):
    """Shows a page of a log."""

    class Resized(Message):
        """There is room for more rows, or for fewer."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._title, self._page = "", LogPage()
        self._is_read = False
        self._slow_pattern = ""

    def show(self, title: str, page: LogPage) -> None:
        """Show a page."""
        self._title, self._page, self._is_read = title, page, True
        self.redraw()

    def on_resize(self, _event: events.Resize) -> None:
        """Say so; the base class, whose handler Textual calls too, draws for the new size what there is."""
        self.post_message(self.Resized())

    def draw(self, width: int, _height: int) -> Sequence[Line]:
        """Return heading and rows, with what is searched for highlighted."""
        page = self._page
        heading = rule(self._title, width, place(page))
        if not page.rows:
            return [heading, line(Span(f" {self._nothing()}", "dim"))] if self._is_read else [heading]
        rows = [row.line for row in page.rows]
        if page.search and page.search.pattern != self._slow_pattern:
            rows = self._highlighted(rows, page.search.pattern)
        return [heading, *(_marked(row, each, width) for each, row in zip(page.rows, rows, strict=True))]

    def _nothing(self) -> str:
        found = self._page.filter
        if found is None:
            return "Nothing has been written yet."
        return "No line has passed the filter yet." if found.is_busy else "No line passes the filter."

    def _highlighted(self, rows: list[Line], pattern: str) -> list[Line]:
        try:
            with _time_limit(HIGHLIGHT_SECONDS):
                return [highlighted(row, compiled(pattern)) for row in rows]
        except TimeoutError:
            self._slow_pattern = pattern
            return rows


def _marked(row: Line, of: Row, width: int) -> Line:
    if not of.is_selected:
        return row
    return tuple(Span(span.text, span.role, marked=True) for span in fit_line(row, width))


def place(page: LogPage) -> str:
    """Say where in the log the page is."""
    end = "following" if page.is_following else "f follows"
    if page.first_number is not None and page.last_number is not None and page.total_lines is not None:
        return f"{page.first_number}-{page.last_number} of {page.total_lines}, {end}"
    share = 100 if not page.size_bytes else page.end * 100 // page.size_bytes
    return f"{share}% of {figures.memory(page.size_bytes)}, {end}"


def highlighted(row: Line, pattern: re.Pattern[str]) -> Line:
    """Return a row with all that matches a pattern in another colour."""
    spans: list[Span] = []
    matches = [match.span() for match in pattern.finditer(text_of(row)) if match.end() > match.start()]
    position = 0
    for span in row:
        end = position + len(span.text)
        cuts = sorted(
            {position, end} | {place for match in matches for place in match if position < place < end}
        )
        for start, stop in pairwise(cuts):
            inside = any(low <= start < high for low, high in matches)
            text = span.text[start - position : stop - position]
            spans.append(Span(text, "found" if inside else span.role, span.marked))
        position = end
    return tuple(spans)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError after so much computing; Python's regular expressions look for signals while they run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_armed = True

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if is_armed:
            raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        is_armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class LogStatus(LinePanel):
    """One line about search, filter and selection; hidden where there is nothing to say."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._page = LogPage()
        self.display = False

    def show(self, page: LogPage) -> None:
        """Show what a page says."""
        self._page = page
        self.display = bool(status_parts(page))
        self.redraw()

    def draw(self, width: int, _height: int) -> Sequence[Line]:
        """Return the one line."""
        parts = status_parts(self._page)
        return [spread((*parts,), (), width)] if parts else []


def status_parts(page: LogPage) -> list[Span]:
    """Return what there is to say about a page besides its text."""
    parts: list[Span] = []
    if page.problem:
        parts.append(Span(f" {one_line(page.problem)} ", "warn"))
    if page.selected_lines:
        many = "line" if page.selected_lines == 1 else "lines"
        parts.append(Span(f" {page.selected_lines} {many} selected: y copies, Y writes a file ", "accent"))
    if page.rank is not None:
        parts.append(Span(f" rank {page.rank} ", "accent"))
    if page.filter and page.filter.pattern:
        parts.append(Span(f" &{one_line(page.filter.pattern)} {_progress(page.filter, 'line')} ", "note"))
    elif page.filter:
        parts.append(Span(f" {_progress(page.filter, 'line')} ", "note"))
    if page.search:
        parts.append(Span(f" /{one_line(page.search.pattern)} {_progress(page.search, 'match')} ", "good"))
    if page.notice:
        parts.append(Span(f" {page.notice} ", "warn"))
    return parts


def _progress(found: Found, noun: str) -> str:
    plural = {"line": "lines", "match": "matches"}[noun]
    text = f"{found.count} {noun if found.count == 1 else plural}"
    if found.position is not None:
        text = f"{found.position} of {text} from the end"
    if found.is_partial:
        text += ", the newest million kept"
    if found.failed:
        return f"{text}, then the search broke off"
    return f"{text} so far, {found.scanned_percent}% searched" if found.is_busy else text
