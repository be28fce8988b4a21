"""What of a log can be seen: all of its lines or those that a filter lets through, laid out in rows."""

from typing import TYPE_CHECKING

from fttui.lines import Line
from fttui.log.layout import rows_of
from fttui.log.log_file import LogFile, Piece
from fttui.log.options import Options
from fttui.log.page import Row

if TYPE_CHECKING:
    from fttui.log.search import Search

Place = tuple[int, int]
"""Where a line begins in the file, and a row within that line."""


class VisibleLines:
    """Goes up and down a log by rows; nothing is remembered but how it is shown."""

    def __init__(self, file: LogFile, options: Options) -> None:
        self._file = file
        self.options = options
        self.filter: Search | None = None

    def after(self, offset: int) -> Piece | None:
        """Return the first line at an offset or behind it."""
        if self.filter is None:
            return self._file.at(offset)
        index = self.filter.index_at(offset)
        return self._file.at(self.filter[index]) if index < len(self.filter) else None

    def before(self, offset: int) -> Piece | None:
        """Return the last line before an offset."""
        if self.filter is None:
            return self._file.before(offset)
        index = self.filter.index_at(offset) - 1
        return self._file.at(self.filter[index]) if index >= 0 else None

    def lets_through(self, offset: int) -> bool:
        """Whether the line at an offset can be seen."""
        piece = self.after(offset)
        return piece is not None and piece.start == offset

    def rows_from(self, place: Place) -> list[Row]:
        """Return the screenful that begins at a place."""
        start, hidden = place
        rows: list[Row] = []
        piece = self.after(start)
        while piece and len(rows) < self.options.height + hidden:
            rows += self._drawn(piece)
            piece = self.after(piece.end)
        return rows[hidden : hidden + self.options.height]

    def last_rows(self) -> list[Row]:
        """Return the last screenful."""
        rows: list[Row] = []
        piece = self.before(self._file.size)
        while piece and len(rows) < self.options.height:
            rows = self._drawn(piece) + rows
            piece = self.before(piece.start)
        return rows[max(0, len(rows) - self.options.height) :]

    def place_of(self, rows: list[Row]) -> Place:
        """Return the place at which a screenful begins, of which the last line is whole."""
        first = rows[0].start
        piece = self._file.at(first)
        shown = sum(1 for row in rows if row.start == first)
        return first, (len(self._rows(piece)) - shown if piece else 0)

    def up(self, place: Place, rows: int) -> Place:
        """Return the place so many rows further up, or the first one."""
        start, row = place
        while rows > row:
            rows -= row + 1
            piece = self.before(start)
            if piece is None:
                return start, 0
            start, row = piece.start, len(self._rows(piece)) - 1
        return start, row - rows

    def down(self, place: Place, rows: int) -> Place:
        """Return the place so many rows further down, or that of the last line."""
        start, row = place
        while rows > 0:
            piece = self._file.at(start)
            if piece is None:
                break
            below = len(self._rows(piece)) - 1 - row
            if rows <= below:
                return start, row + rows
            following = self.after(piece.end)
            if following is None:
                break
            start, row, rows = following.start, 0, rows - below - 1
        return start, row

    def _rows(self, piece: Piece) -> list[Line]:
        return rows_of(piece.raw, self.options)

    def _drawn(self, piece: Piece) -> list[Row]:
        return [Row(piece.start, row) for row in self._rows(piece)]
