"""Going from match to match."""

from collections.abc import Sequence

from fttui.log.log_file import LogFile
from fttui.log.search import Search
from fttui.log.visible_lines import VisibleLines


class Finder:
    """Keeps the search for a pattern, and the match that was gone to."""

    def __init__(self, file: LogFile, lines: VisibleLines) -> None:
        self._file, self._lines = file, lines
        self.search: Search | None = None
        self.found_at: int | None = None
        self.sought: int | None = None
        """The direction in which a match is waited for."""

    def start(self, pattern: str) -> None:
        """Look for a pattern; an empty one ends the search."""
        self.close()
        if pattern:
            self.search = Search(self._file, [pattern])
            self.sought = 0

    def restart(self) -> None:
        """Search for the same again, in a file that is no longer what it was."""
        if self.search is not None:
            self.start(self.search.patterns[0])
            self.sought = None

    def close(self) -> None:
        """End the search."""
        if self.search is not None:
            self.search.close()
        self.search = self.found_at = self.sought = None

    def find(self, direction: int, starts: Sequence[int]) -> tuple[int | None, str]:
        """Return the next match (1), the one before (-1) or the nearest (0), or else why there is none.

        ``starts`` are the lines on the screen. A match that is further up may yet be found; it is then waited for.
        """
        search = self.search
        if search is None:
            return None, "nothing is searched for yet: / asks for what"
        found = self._match(search, direction, starts)
        self.sought = direction if found is None and not search.is_complete and not search.failed else None
        if found is not None:
            self.found_at = found
        elif self.sought is None and direction:
            return None, "no more matches below" if direction > 0 else "no more matches above"
        return found, ""

    def _match(self, search: Search, direction: int, starts: Sequence[int]) -> int | None:
        """Return a match as seen from the last one that was gone to, or from the screen when that is not on it."""
        top = starts[0] if starts else 0
        if direction and self.found_at is not None and self.found_at in starts:
            index = search.index_at(self.found_at + (direction > 0)) - (direction < 0)
        elif direction == 0 and search.low > top and not search.is_complete:
            return None
        else:
            index = search.index_at(top) - (direction < 0)
            if direction == 0 and index >= len(search):
                index -= 1
        while 0 <= index < len(search):
            # A filter may hide it.
            if self._lines.lets_through(search[index]):
                return search[index]
            index += direction or -1
        return None
