"""A log read page by page: where the reader is, what is filtered, found and selected.

Knows no terminal and no thread. A place in a log is the offset at which a line begins and a row within that line, so
that nothing moves on the screen while the file grows, while lines are counted, or when the filter changes.
"""

import re
import time
from dataclasses import replace
from pathlib import Path

from fttui.log.filtering import Filter
from fttui.log.finding import Finder
from fttui.log.line_counter import LineCounter
from fttui.log.line_text import plain
from fttui.log.log_file import Change, LogFile
from fttui.log.options import Options
from fttui.log.page import Found, LogPage, Row
from fttui.log.scan import compiled
from fttui.log.search import MOST_MATCHES, Search
from fttui.log.visible_lines import Place, VisibleLines

MOST_COPIED_LINES = 100_000
COUNTING_SECONDS = 0.01
"""So long lines are counted before keys are looked at again."""

CHANGES: dict[Change, str] = {
    "cut": "its middle was cut out at {clock}: the log grew beyond run.log_max_bytes",
    "truncated": "cut short at {clock}: what stood in it before is gone",
    "replaced": "replaced by another file at {clock}",
    "gone": "deleted at {clock}",
}


class Pager:
    """Reads one log."""

    def __init__(self, path: Path, options: Options) -> None:
        self._file = LogFile(path)
        self._counter = LineCounter(self._file)
        self._lines = VisibleLines(self._file, options)
        self._filter = Filter(self._file)
        self._finder = Finder(self._file, self._lines)
        self._is_following = True
        self._top: Place = (0, 0)
        self._selected: tuple[int, int] | None = None
        self._selected_lines = 0
        self._notice, self._problem = "", ""
        self._file.refresh()

    def close(self) -> None:
        """End what is under way."""
        self._finder.close()
        self._filter.close()
        self._file.close()

    # The file

    def look(self) -> bool:
        """Take note of what happened to the file and what was found; say whether there is more to come at once."""
        if change := self._file.refresh():
            notice = CHANGES[change].format(clock=time.strftime("%H:%M:%S"))
            self._begin_anew(notice, stays=change == "cut")
        searches = [each for each in (self._filter.search, self._finder.search) if each is not None]
        for each in searches:
            each.poll()
        if self._finder.sought is not None:
            self.find(self._finder.sought)
        self._counter.count_on(COUNTING_SECONDS)
        return self._counter.is_behind or any(each.is_busy for each in searches)

    def _begin_anew(self, notice: str, *, stays: bool) -> None:
        self._notice, self._selected = notice, None
        if stays:
            self._top = (self._file.start_of(self._top[0]), 0)
        else:
            self._is_following, self._top = True, (0, 0)
        self._counter = LineCounter(self._file)
        self._finder.restart()
        self._restart_filter()

    # Moving

    def follow(self) -> None:
        """Go to the end and stay there."""
        self._is_following, self._finder.sought = True, None

    def to_start(self) -> None:
        """Go to the first line."""
        first = self._lines.after(0)
        self._top, self._is_following, self._finder.sought = (first.start if first else 0, 0), False, None

    def move(self, rows: int) -> None:
        """Go so many rows up or down; reaching the end takes up following again. A selection grows or shrinks."""
        self._finder.sought = None
        if self._selected:
            self._extend(rows)
            return
        if self._is_following and rows < 0:
            self._stop_following()
        if not self._is_following:
            self._top = self._lines.up(self._top, -rows) if rows < 0 else self._lines.down(self._top, rows)
            self._is_following = rows > 0 and self._ends_at_end()

    def move_pages(self, pages: int) -> None:
        """Go by screenfuls, keeping two rows of the last one."""
        self.move(pages * max(1, self._lines.options.height - 2))

    def set_options(self, options: Options) -> None:
        """Show it in another way; the line at the top stays at the top."""
        before = self._lines.options
        if (options.wraps, options.width) != (before.wraps, before.width):
            self._top = (self._top[0], 0)
        self._lines.options = options

    def _shown(self) -> list[Row]:
        return self._lines.last_rows() if self._is_following else self._lines.rows_from(self._top)

    def _stop_following(self) -> None:
        if self._is_following and (shown := self._lines.last_rows()):
            self._top = self._lines.place_of(shown)
        self._is_following = False

    def _ends_at_end(self) -> bool:
        shown = self._lines.rows_from(self._top)
        last = self._lines.last_rows()
        return len(shown) < self._lines.options.height or shown == last

    # Filtering and finding

    def filter_by(self, pattern: str) -> None:
        """Show only the lines in which a pattern is found, all of them for an empty one."""
        self._filter.pattern = pattern
        self._restart_filter()

    def next_rank(self, direction: int) -> None:
        """Show only the lines of the next rank; before the first and after the last come those of all."""
        there_are = self._filter.next_rank(direction)
        self._problem = (
            "" if there_are else "no line at the end of this log begins with a rank, such as [rank1]"
        )
        self._restart_filter()

    def _restart_filter(self) -> None:
        self._filter.restart()
        self._lines.filter = self._filter.search
        self._top = (self._top[0], 0)

    def search_for(self, pattern: str) -> None:
        """Look for a pattern and go to a match when there is one; an empty pattern ends the search."""
        self._problem = ""
        self._finder.start(pattern)

    def find(self, direction: int) -> None:
        """Go to the next match (1), the one before (-1) or the one that is nearest (0)."""
        shown = self._shown()
        found, self._problem = self._finder.find(direction, [row.start for row in shown])
        if found is None:
            return
        self._stop_following()
        if all(row.start != found for row in shown):
            self._top = self._lines.up((found, 0), self._lines.options.height // 3)

    # Selecting

    def select(self) -> None:
        """Begin to select at the match that was gone to, or at the last line on the screen; again to leave it."""
        if self.deselect():
            return
        self._stop_following()
        starts = [row.start for row in self._shown()]
        if starts:
            found = self._finder.found_at
            start = found if found is not None and found in starts else starts[-1]
            self._selected, self._selected_lines = (start, start), 1

    def deselect(self) -> bool:
        """Give up the selection, and say whether there was one."""
        was, self._selected = self._selected is not None, None
        return was

    def _extend(self, lines: int) -> None:
        """Move the end of the selection, and the screen with it."""
        if self._selected is None:
            return
        anchor, end = self._selected
        for _ in range(abs(lines)):
            at = self._file.at(end)
            piece = self._lines.before(end) if lines < 0 else self._lines.after(at.end) if at else None
            if piece is None:
                break
            end = piece.start
        self._selected = (anchor, end)
        self._selected_lines = len(self.text())
        if end < self._top[0]:
            self._top = (end, 0)
        while end > (starts := [row.start for row in self._lines.rows_from(self._top)])[-1]:
            self._top = self._lines.down(self._top, max(1, len(starts) // 4))

    def text(self) -> list[str]:
        """Return the lines that are selected, or else those on the screen, for copying."""
        ends = sorted(self._selected or [row.start for row in self._shown()])
        lines: list[str] = []
        piece = self._lines.after(ends[0]) if ends else None
        while piece and piece.start <= ends[-1] and len(lines) < MOST_COPIED_LINES:
            lines.append(plain(piece.raw))
            piece = self._lines.after(piece.end)
        return lines

    # What is shown

    def page(self) -> LogPage:
        """Return what is on the screen now."""
        rows = self._shown()
        if not self._is_following and not self._selected and len(rows) < self._lines.options.height:
            # The screen is filled from the end rather than left half empty.
            self._is_following, rows = True, self._lines.last_rows()
        last = self._file.at(rows[-1].start) if rows else None
        low, high = sorted(self._selected) if self._selected else (0, -1)
        return LogPage(
            rows=tuple(replace(row, is_selected=True) if low <= row.start <= high else row for row in rows),
            is_following=self._is_following,
            size_bytes=self._file.size,
            end=last.end if last else 0,
            first_number=self._counter.number_of(rows[0].start) if rows else None,
            last_number=self._counter.number_of(rows[-1].start) if rows else None,
            total_lines=self._total_lines(),
            search=_progress(self._finder.search, at=self._finder.found_at),
            filter=_progress(self._filter.search, self._filter.pattern),
            rank=self._filter.rank,
            selected_lines=self._selected_lines if self._selected else 0,
            notice=self._notice,
            problem=self._problem,
        )

    def _total_lines(self) -> int | None:
        last = self._file.before(self._file.size) if not self._counter.is_behind else None
        return self._counter.number_of(last.start) if last else None


def _progress(search: Search | None, pattern: str | None = None, at: int | None = None) -> Found | None:
    if search is None:
        return None
    return Found(
        pattern=search.patterns[0] if pattern is None else pattern,
        count=search.found,
        scanned_percent=search.scanned_percent,
        is_busy=search.is_busy,
        failed=search.failed,
        position=None if at is None else len(search) - search.index_at(at),
        is_partial=search.found > MOST_MATCHES,
    )


def with_size(options: Options, width: int, height: int) -> Options:
    """Return the same options for another size."""
    return replace(options, width=max(1, width), height=max(1, height))


def problem_of(pattern: str) -> str:
    """Return what is wrong with a pattern, empty where it can be searched for."""
    try:
        compiled(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        place = getattr(error, "pos", None)
        where = "" if place is None else f" at character {place + 1}"
        return f"not a pattern{where}: {getattr(error, 'msg', error)}"
    return ""
