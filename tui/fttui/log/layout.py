"""From a line of a log to the rows that it takes on the screen."""

from functools import lru_cache

from rich.cells import cell_len

from fttui.lines import Line, Span, width_of
from fttui.log.line_text import shown
from fttui.log.options import Options


# A page that moves on by one row has the lines of the last one: of 64 KiB each they took 1 ms, and so a key 60 ms.
@lru_cache(maxsize=128)
def rows_of(raw: bytes, options: Options) -> list[Line]:
    """Return the rows of one line, not to be changed; a line that is not wrapped takes one, however long it is."""
    spans = shown(raw, colours=options.colours, timestamps=options.timestamps)
    if options.wraps:
        return wrapped(spans, max(1, options.width))
    return [cut(spans, options.left, options.left + options.width)]


def wrapped(spans: Line, width: int) -> list[Line]:
    """Break a line after each ``width`` cells."""
    if width_of(spans) <= width:
        return [spans]
    rows: list[list[Span]] = [[]]
    left = width
    for span in spans:
        rest = span.text
        while rest:
            head = _head(rest, left)
            if head:
                rows[-1].append(Span(head, span.role))
                left -= cell_len(head)
                rest = rest[len(head) :]
            if rest:
                if not head and left == width:  # a wide character in a single column
                    rest = rest[1:]
                    continue
                rows.append([])
                left = width
    return [tuple(row) for row in rows]


def cut(spans: Line, start: int, end: int) -> Line:
    """Return the cells of a line from one place to another."""
    parts: list[Span] = []
    position = 0
    for span in spans:
        if position >= end:
            break
        text = span.text
        if position < start:
            head = _head(text, start - position)
            position += cell_len(head)
            text = text[len(head) :]
        if text:
            text = _head(text, end - position)
            parts.append(Span(text, span.role))
            position += cell_len(text)
    return tuple(parts)


def _head(text: str, cells: int) -> str:
    """Return as much of a text as fits into so many cells."""
    head = text[:cells]
    if head.isascii():
        return head
    while cell_len(head) > cells:
        head = head[: -max(1, (cell_len(head) - cells) // 2)]
    return head
