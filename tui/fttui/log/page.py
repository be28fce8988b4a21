"""What the screen shows of a log at one moment."""

from dataclasses import dataclass

from fttui.lines import Line


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the screen: a line of the log, or where lines are wrapped a part of one."""

    start: int
    """Where the line begins in the file."""
    line: Line
    is_selected: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """How far a search or a filter is."""

    pattern: str
    count: int
    scanned_percent: int
    is_busy: bool
    failed: bool = False
    position: int | None = None
    """The number, from the end, of the match that was gone to."""
    is_partial: bool = False
    """Whether only the newest matches are kept."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """A screenful of a log, with all that is said about it."""

    rows: tuple[Row, ...] = ()
    is_following: bool = True
    size_bytes: int = 0
    end: int = 0
    """Where the last row shown ends."""
    first_number: int | None = None
    last_number: int | None = None
    total_lines: int | None = None
    search: Found | None = None
    filter: Found | None = None
    rank: int | None = None
    selected_lines: int = 0
    notice: str = ""
    problem: str = ""
