"""A line of a log as a person is to see it: colours kept, everything else that a terminal would obey taken out."""

import re

from fttui.lines import ANSI_ROLES, Line, Role, Span, line
from fttui_engine.runs.logs import plain_text
from fttui_engine.runs.recording import starred

TAB_CELLS = 4
HOLE_BYTES = 64
"""So many zero bytes are no text: something wrote on behind the place to which a file was cut."""

_COLOURS = re.compile(r"\x1b\[([0-9;:]*)m")
_TIMESTAMP = re.compile(
    r"^(\[rank\d+\]:? *|)"  # stays
    r"\[?(?:\d{4}[-/]\d\d[-/]\d\d[T ,]?)?\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?[ :,-]*"
)


def folded(raw: bytes) -> bytes:
    """Return what stays of a line that a progress bar overwrote with carriage returns."""
    if b"\r" not in raw:
        return raw
    raw = raw.rstrip(b"\r")
    return raw[raw.rfind(b"\r") + 1 :]


def plain(raw: bytes) -> str:
    """Return the bare, harmless text of a line; this is what is searched and copied."""
    return plain_text(folded(raw).decode("utf-8", "replace"))


def shown(raw: bytes, *, colours: bool, timestamps: bool) -> Line:
    """Return a line as it is drawn."""
    text = folded(raw)
    zeros = len(text) - len(text.lstrip(b"\0"))
    hole: Line = ()
    if zeros >= HOLE_BYTES:
        hole, text = (
            (Span(f"[{zeros} zero bytes: the file was cut here while it was written] ", "note"),),
            text[zeros:],
        )
    decoded = starred(text.decode("utf-8", "replace").expandtabs(TAB_CELLS))
    spans = _coloured(decoded) if "\x1b[" in decoded else (Span(plain_text(decoded)),)
    if not colours:
        spans = (Span("".join(span.text for span in spans)),)
    return line(*hole, *(spans if timestamps else without_timestamp(spans)))


def without_timestamp(spans: Line) -> Line:
    """Return a line without the date and time that it begins with, if it does."""
    if not spans or not (found := _TIMESTAMP.match(spans[0].text)):
        return spans
    first = spans[0]
    return (Span(found[1] + first.text[found.end() :], first.role), *spans[1:])


def _coloured(text: str) -> Line:
    spans: list[Span] = []
    role: Role = "plain"
    # Split at the colours first and cleaned after that: a colour that cuts a sequence in two leaves harmless halves.
    parts = _COLOURS.split(text)
    for index in range(0, len(parts), 2):
        if index:
            role = _role_after(parts[index - 1], role)
        if clean := plain_text(parts[index]):
            spans.append(Span(clean, role))
    return tuple(spans)


def _role_after(codes: str, role: Role) -> Role:
    """Return the colour that is set by the numbers of a sequence; what is no foreground colour changes nothing."""
    numbers = [int(code) if code else 0 for code in re.split("[;:]", codes)][:16]
    while numbers:
        code = numbers.pop(0)
        if code in (0, 39):
            role = "plain"
        elif 30 <= code <= 37:
            role = ANSI_ROLES[code - 30]
        elif 90 <= code <= 97:
            role = ANSI_ROLES[code - 82]
        elif code == 1 and role == "plain":
            role = "strong"
        elif code == 2 and role == "plain":
            role = "dim"
        elif code in (38, 48) and numbers:
            taken = 2 if numbers[0] == 5 else 4
            if code == 38:
                role = _nearest(numbers[1:taken]) if len(numbers) >= taken else role
            del numbers[:taken]
    return role


def _nearest(colour: list[int]) -> Role:
    """Return the one of the terminal's own sixteen colours that is like one of the 256, or like red, green and blue."""
    if len(colour) == 1:
        index = min(colour[0], 255)
        if index < 16:
            return ANSI_ROLES[index]
        if index >= 232:
            colour = [8 + (index - 232) * 10] * 3
        else:
            index -= 16
            colour = [
                (0, 95, 135, 175, 215, 255)[level] for level in (index // 36, index // 6 % 6, index % 6)
            ]
    brightest = max(colour)
    if brightest < 64:
        return ANSI_ROLES[8]
    bits = sum(1 << place for place, part in enumerate(colour) if part * 2 > brightest)
    return ANSI_ROLES[bits + (8 if brightest > 200 else 0)]
