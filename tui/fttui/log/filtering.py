"""Which lines of a log are shown: those with a pattern, those of one rank, or both."""

from fttui.log.log_file import LogFile
from fttui.log.ranks import pattern_of_rank, ranks_in
from fttui.log.search import Search

RECENT_BYTES = 1024 * 1024
"""In the end of the log it is looked which ranks there are."""


class Filter:
    """Remembers what is asked for and keeps the search for it."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self.pattern = ""
        self.rank: int | None = None
        self.search: Search | None = None

    def restart(self) -> None:
        """Search again from the present end of the file."""
        self.close()
        patterns = [self.pattern] if self.pattern else []
        if self.rank is not None:
            patterns.append(pattern_of_rank(self.rank))
        if patterns:
            self.search = Search(self._file, patterns)

    def next_rank(self, direction: int) -> bool:
        """Go on to the next rank, behind the last one to all; return whether there are any."""
        recent = self._file.read(max(0, self._file.size - RECENT_BYTES), self._file.size)
        choices = [None, *ranks_in(recent)]
        at = choices.index(self.rank) if self.rank in choices else 0
        self.rank = choices[(at + direction) % len(choices)]
        return len(choices) > 1

    def close(self) -> None:
        """End the search."""
        if self.search is not None:
            self.search.close()
        self.search = None
