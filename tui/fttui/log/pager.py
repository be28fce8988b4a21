"""A log read page by page: where the reader is, what is filtered, found and selected.

Knows no terminal and no thread. A place in a log is the offset at which a line begins and a row within that line, so
that nothing moves on the screen while the file grows, while lines are counted, or when the filter changes.
"""

import re
import time
from dataclasses import replace
from pathlib import Path

from fttui.lines import Line
from fttui.log.layout import rows_of
from fttui.log.line_counter import LineCounter
from fttui.log.line_text import plain
from fttui.log.log_file import Change, LogFile, Piece
from fttui.log.options import Options
from fttui.log.page import Found, LogPage, Row
from fttui.log.ranks import pattern_of_rank, ranks_in
from fttui.log.scan import compiled
from fttui.log.search import MOST_MATCHES, Search

RECENT_BYTES = 1024 * 1024
"""Where the ranks that there are are looked for."""
MOST_COPIED_LINES = 100_000

CHANGES: dict[Change, str] = {
    "truncated": "cut short at {clock}: what stood in it before is gone",
    "replaced": "replaced by another file at {clock}",
    "gone": "deleted at {clock}",
}


class Pager:
    """Reads one log."""

    def __init__(self, path: Path, options: Options) -> None:
        self.options = options
        self.file = LogFile(path)
        self._counter = LineCounter(self.file)
        self._following = True
        self._top: tuple[int, int] = (0, 0)
        self._pattern = ""
        self._rank: int | None = None
        self._filter: Search | None = None
        self._search: Search | None = None
        self._sought: int | None = None
        self._found_at: int | None = None
        self._selected: tuple[int, int] | None = None
        self._selected_lines = 0
        self._notice, self._problem = "", ""
        self.file.refresh()

    def close(self) -> None:
        """End what is under way."""
        self._end_search()
        self._end_filter()
        self.file.close()

    # The file

    def look(self) -> bool:
        """Take note of what happened to the file and what was found; say whether there is more to come at once."""
        change = self.file.refresh()
        if change:
            self._begin_anew(CHANGES[change].format(clock=time.strftime("%H:%M:%S")))
        searches = [each for each in (self._filter, self._search) if each is not None]
        for each in searches:
            each.poll()
        if self._sought is not None:
            self.find(self._sought)
        self._counter.count_on(16)
        return self._counter.is_behind or any(each.is_busy for each in searches)

    def _begin_anew(self, notice: str) -> None:
        self._notice, self._following, self._selected = notice, True, None
        self._top, self._found_at = (0, 0), None
        self._counter = LineCounter(self.file)
        sought, self._search = self._search, None
        if sought is not None:
            sought.close()
            self._search = Search(self.file, sought.patterns)
        self._restart_filter()

    # Moving

    def follow(self) -> None:
        """Go to the end and stay there."""
        self._following, self._sought = True, None

    def to_start(self) -> None:
        """Go to the first line."""
        self._sought = None
        first = self._after(0)
        self._top, self._following = (first.start if first else 0, 0), False

    def move(self, rows: int) -> None:
        """Go so many rows up or down; reaching the end takes up following again. A selection grows or shrinks."""
        self._sought = None
        if self._selected:
            self.extend(rows)
            return
        if self._following:
            if rows >= 0:
                return
            self._stop_at_bottom()
        start, row = self._top
        if rows < 0:
            self._top = self._up(start, row, -rows)
        else:
            self._top = self._down(start, row, rows)
        self._following = rows > 0 and self._is_at_bottom()

    def move_pages(self, pages: int) -> None:
        """Go by screenfuls, keeping two rows of the last one."""
        self.move(pages * max(1, self.options.height - 2))

    def set_options(self, options: Options) -> None:
        """Show it in another way; the line at the top stays at the top."""
        if options.wraps != self.options.wraps or options.width != self.options.width:
            self._top = (self._top[0], 0)
        self.options = options

    def _up(self, start: int, row: int, rows: int) -> tuple[int, int]:
        while rows > row:
            rows -= row + 1
            piece = self._before(start)
            if piece is None:
                return start, 0
            start, row = piece.start, len(self._rows(piece)) - 1
        return start, row - rows

    def _down(self, start: int, row: int, rows: int) -> tuple[int, int]:
        while rows > 0:
            piece = self._at(start)
            if piece is None:
                break
            below = len(self._rows(piece)) - 1 - row
            if rows <= below:
                return start, row + rows
            following = self._after(piece.end)
            if following is None:
                break
            start, row, rows = following.start, 0, rows - below - 1
        return start, row

    def _stop_at_bottom(self) -> None:
        shown = self._last_rows()
        if shown:
            start = shown[0].start
            self._top = (start, self._hidden_rows(shown))
        self._following = False

    def _hidden_rows(self, shown: list[Row]) -> int:
        """Return how many rows of the line at the top are above the screen."""
        piece = self._at(shown[0].start)
        of_first = sum(1 for row in shown if row.start == shown[0].start)
        return len(self._rows(piece)) - of_first if piece else 0

    def _is_at_bottom(self) -> bool:
        return len(self._rows_from(*self._top)) <= self.options.height and not self._more_below()

    def _more_below(self) -> bool:
        rows = self._rows_from(*self._top, extra=1)
        return len(rows) > self.options.height

    # What is there to see: all lines, or those that the filter lets through

    def _at(self, start: int) -> Piece | None:
        return self.file.at(start)

    def _after(self, offset: int) -> Piece | None:
        if self._filter is None:
            return self.file.at(offset)
        index = self._filter.index_at(offset)
        return self.file.at(self._filter[index]) if index < len(self._filter) else None

    def _before(self, offset: int) -> Piece | None:
        if self._filter is None:
            return self.file.before(offset)
        index = self._filter.index_at(offset) - 1
        return self.file.at(self._filter[index]) if index >= 0 else None

    def _rows(self, piece: Piece) -> list[Line]:
        return rows_of(piece.raw, self.options)

    def _shown(self) -> list[Row]:
        return self._last_rows() if self._following else self._rows_from(*self._top)

    def _rows_from(self, start: int, hidden: int, extra: int = 0) -> list[Row]:
        rows: list[Row] = []
        piece = self._after(start)
        while piece and len(rows) < self.options.height + hidden + extra:
            rows += self._drawn(piece)
            piece = self._after(piece.end)
        return rows[hidden : hidden + self.options.height + extra]

    def _last_rows(self) -> list[Row]:
        rows: list[Row] = []
        piece = self._before(self.file.size)
        while piece and len(rows) < self.options.height:
            rows = self._drawn(piece) + rows
            piece = self._before(piece.start)
        return rows[max(0, len(rows) - self.options.height) :]

    def _drawn(self, piece: Piece) -> list[Row]:
        low, high = sorted(self._selected) if self._selected else (1, 0)
        selected = low <= piece.start <= high
        return [Row(piece.start, row, selected) for row in rows_of(piece.raw, self.options)]

    # Filtering

    def filter_by(self, pattern: str) -> None:
        """Show only the lines in which a pattern is found, all of them for an empty one."""
        self._pattern = pattern
        self._restart_filter()

    def next_rank(self, direction: int) -> None:
        """Show only the lines of the next rank; before the first and after the last come those of all."""
        choices = [None, *ranks_in(self.file.read(max(0, self.file.size - RECENT_BYTES), self.file.size))]
        at = choices.index(self._rank) if self._rank in choices else 0
        self._rank = choices[(at + direction) % len(choices)]
        self._problem = (
            "" if len(choices) > 1 else "no line at the end of this log begins with a rank, such as [rank1]"
        )
        self._restart_filter()

    def _restart_filter(self) -> None:
        self._end_filter()
        self._top = (self._top[0], 0)
        patterns = [self._pattern] if self._pattern else []
        if self._rank is not None:
            patterns.append(pattern_of_rank(self._rank))
        if patterns:
            self._filter = Search(self.file, patterns)

    def _end_filter(self) -> None:
        if self._filter is not None:
            self._filter.close()
        self._filter = None

    # Finding

    def search_for(self, pattern: str) -> None:
        """Look for a pattern and go to a match when there is one; an empty pattern ends the search."""
        self._end_search()
        if pattern:
            self._search = Search(self.file, [pattern])
            self._sought = 0

    def find(self, direction: int) -> None:
        """Go to the next match (1), the one before (-1) or the one that is nearest (0)."""
        search = self._search
        if search is None:
            self._problem = "nothing is searched for yet: / asks for what"
            return
        found = self._match(search, direction)
        # A match that is further up may yet be found.
        self._sought = direction if found is None and not search.is_complete and not search.failed else None
        self._problem = ""
        if found is not None:
            self._go_to(found)
        elif self._sought is None and direction:
            self._problem = "no more matches below" if direction > 0 else "no more matches above"

    def _match(self, search: Search, direction: int) -> int | None:
        """Return a match as seen from the last one that was gone to, or from the screen when that is not on it."""
        starts = [row.start for row in self._shown()]
        top = starts[0] if starts else 0
        if direction and self._found_at in starts:
            index = search.index_at(self._found_at + (direction > 0)) - (direction < 0)
        elif direction == 0 and search.low > top and not search.is_complete:
            return None
        else:
            index = search.index_at(top) - (direction < 0)
            if direction == 0 and index >= len(search):
                index -= 1
        while 0 <= index < len(search):
            # A filter may hide it.
            if self._filter is None or self._is_let_through(search[index]):
                return search[index]
            index += direction or -1
        return None

    def _is_let_through(self, offset: int) -> bool:
        piece = self._after(offset)
        return piece is not None and piece.start == offset

    def _go_to(self, offset: int) -> None:
        self._found_at = offset
        shown = self._shown()
        if any(row.start == offset for row in shown):
            if self._following:
                self._stop_at_bottom()
            return
        self._following = False
        self._top = self._up(offset, 0, self.options.height // 3)

    def _end_search(self) -> None:
        if self._search is not None:
            self._search.close()
        self._search = self._sought = self._found_at = None
        self._problem = ""

    # Selecting

    def select(self) -> None:
        """Begin to select at the match that was gone to, or at the last line on the screen; again to leave it."""
        if self.deselect():
            return
        shown = self._shown()
        if self._following:
            self._stop_at_bottom()
        if shown:
            starts = {row.start for row in shown}
            start = self._found_at if self._found_at in starts else shown[-1].start
            if start is not None:
                self._selected, self._selected_lines = (start, start), 1

    def extend(self, lines: int) -> None:
        """Move the end of the selection, and the screen with it."""
        if self._selected is None:
            return
        anchor, end = self._selected
        for _ in range(abs(lines)):
            at = self._at(end)
            piece = self._before(end) if lines < 0 else self._after(at.end) if at else None
            if piece is None:
                break
            end = piece.start
        self._selected = (anchor, end)
        self._selected_lines = len(self.text())
        starts = [row.start for row in self._rows_from(*self._top)]
        if end < self._top[0]:
            self._top = (end, 0)
        while starts and end > starts[-1]:
            self._top = self._down(*self._top, 1)
            starts = [row.start for row in self._rows_from(*self._top)]

    def deselect(self) -> bool:
        """Give up the selection, and say whether there was one."""
        was, self._selected = self._selected is not None, None
        return was

    def text(self) -> list[str]:
        """Return the lines that are selected, or else those on the screen, for copying."""
        if self._selected:
            low, high = sorted(self._selected)
        else:
            shown = self._shown()
            if not shown:
                return []
            low, high = shown[0].start, shown[-1].start
        lines: list[str] = []
        piece = self._after(low)
        while piece and piece.start <= high and len(lines) < MOST_COPIED_LINES:
            lines.append(plain(piece.raw))
            piece = self._after(piece.end)
        return lines

    # What is shown

    def page(self) -> LogPage:
        """Return what is on the screen now."""
        if not self._following and self._is_short():
            self._following = True
        rows = self._shown()
        last = self._at(rows[-1].start) if rows else None
        number_of = self._counter.number_of
        return LogPage(
            rows=tuple(rows),
            is_following=self._following,
            size_bytes=self.file.size,
            end=last.end if last else 0,
            first_number=number_of(rows[0].start) if rows else None,
            last_number=number_of(rows[-1].start) if rows else None,
            total_lines=self._total_lines(),
            search=self._progress(self._search, self._found_at),
            filter=self._progress(self._filter),
            rank=self._rank,
            selected_lines=self._selected_lines if self._selected else 0,
            notice=self._notice,
            problem=self._problem,
        )

    def _is_short(self) -> bool:
        """Whether the screen would be filled only in part; it is then filled from the end."""
        return len(self._rows_from(*self._top)) < self.options.height

    def _total_lines(self) -> int | None:
        last = self.file.before(self.file.size) if not self._counter.is_behind else None
        return self._counter.number_of(last.start) if last else None

    def _progress(self, search: Search | None, at: int | None = None) -> Found | None:
        if search is None:
            return None
        return Found(
            pattern=self._pattern if search is self._filter else search.patterns[0],
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
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        return f"not a pattern{where}: {error.msg}"
    return ""
