"""Lines of text as data: what a panel shows, before any terminal is involved.

Panels are drawn by pure functions from a snapshot to a list of lines, so that two frames can be compared cell by
cell and only the difference sent. Styles are named by role; `palette` says what a role looks like.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from rich.cells import cell_len, chop_cells, set_cell_size

Role = Literal[
    "plain", "dim", "strong", "good", "warn", "bad", "accent", "note", "rule", "found",
    "black", "red", "green", "yellow", "blue", "magenta", "cyan", "white",
    "bright black", "bright red", "bright green", "bright yellow",
    "bright blue", "bright magenta", "bright cyan", "bright white",
]  # fmt: skip

ANSI_ROLES: Final[tuple[Role, ...]] = (
    "black", "red", "green", "yellow", "blue", "magenta", "cyan", "white",
    "bright black", "bright red", "bright green", "bright yellow",
    "bright blue", "bright magenta", "bright cyan", "bright white",
)  # fmt: skip
"""The colours that a program may ask for by number; they look as the terminal's owner has set them."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line in one style; ``marked`` is the selected row's background."""

    text: str
    role: Role = "plain"
    marked: bool = False


Line = tuple[Span, ...]


def line(*parts: Span | str) -> Line:
    """Build a line; bare strings are plain."""
    return tuple(Span(part) if isinstance(part, str) else part for part in parts)


def width_of(spans: Iterable[Span]) -> int:
    """Return how many terminal cells the spans take."""
    return sum(cell_len(span.text) for span in spans)


def text_of(spans: Iterable[Span]) -> str:
    """Return the bare text of a line."""
    return "".join(span.text for span in spans)


def fit(text: str, width: int) -> str:
    """Crop or pad a text to exactly so many cells; a cropped text ends in a tilde."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "~"


def fit_right(text: str, width: int) -> str:
    """Right-align a text in so many cells."""
    return " " * max(0, width - cell_len(text)) + text if cell_len(text) <= width else fit(text, width)


def fit_line(spans: Line, width: int) -> Line:
    """Crop or pad a line to exactly so many cells."""
    fitted: list[Span] = []
    left = width
    for span in spans:
        if left <= 0:
            break
        text = span.text if cell_len(span.text) <= left else set_cell_size(span.text, left)
        fitted.append(Span(text, span.role, span.marked))
        left -= cell_len(text)
    if left > 0:
        fitted.append(Span(" " * left, marked=bool(fitted) and fitted[-1].marked))
    return tuple(fitted)


def spread(left: Line, right: Line, width: int) -> Line:
    """Put one line at the left edge and another at the right; the left one gives way when both do not fit."""
    room = max(0, width - width_of(right))
    return fit_line((*fit_line(left, room), *right), width)


def rule(title: str, width: int, right: str = "") -> Line:
    """Return the line that heads a panel: its title in a rule, with a remark at the right."""
    remark = f" {right} " if right and cell_len(title) + cell_len(right) + 8 <= width else ""
    head = f" {fit(title, min(cell_len(title), max(1, width - 6 - cell_len(remark))))} " if title else ""
    tail = max(0, width - 2 - cell_len(head) - cell_len(remark) - (1 if remark else 0))
    return line(
        Span("──", "rule"),
        Span(head, "strong"),
        Span("─" * tail, "rule"),
        Span(remark, "dim"),
        Span("─" if remark else "", "rule"),
    )


def wrap(text: str, width: int, role: Role = "plain") -> list[Line]:
    """Break a text at spaces into lines of at most so many cells."""
    if width <= 0:
        return []
    lines: list[str] = []
    current = ""
    for word in text.split():
        if current and cell_len(current) + 1 + cell_len(word) <= width:
            current = f"{current} {word}"
            continue
        if current:
            lines.append(current)
        *full, current = chop_cells(word, width) or [""]
        lines.extend(full)
    if current:
        lines.append(current)
    return [line(Span(one, role)) for one in lines]
