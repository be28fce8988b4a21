"""Every character as ASCII, for fonts and locales that have nothing else."""

import os
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

BRAILLE: Final = range(0x2800, 0x2900)
TOP_DOTS, BOTTOM_DOTS = 0x01 | 0x02 | 0x08 | 0x10, 0x04 | 0x40 | 0x20 | 0x80

# Widgets of our own draw rules, bars and cursors; Textual's draw the frames of dialogs and the edges of fields.
DRAWN: Final = {
    **dict.fromkeys("─━═▔╌┄", "-"),
    **dict.fromkeys("│┃║▏▎▍▕▐┊┆", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╔╗╚╝╠╣╦╩╬", "+"),
    **dict.fromkeys("░▒▀", "."),
    **dict(zip("▁▂▃▄▅▆▇█▓▌", "_.-=+*###>", strict=True)),
}


class AsciiOnly(LineFilter):
    """Replaces what is drawn by what looks like it, and any other character beyond ASCII by question marks."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments, each as wide as it was."""
        return [
            segment
            if segment.text.isascii()
            else Segment(in_ascii(segment.text), segment.style, segment.control)
            for segment in segments
        ]


def in_ascii(text: str) -> str:
    """Return a text of the same width without anything beyond ASCII."""
    return "".join(each if each.isascii() else _replacement(each) for each in text)


def _replacement(character: str) -> str:
    if ord(character) in BRAILLE:
        dots = ord(character) - BRAILLE.start
        top, bottom = dots & TOP_DOTS, dots & BOTTOM_DOTS
        return ":" if top and bottom else "'" if top else "." if bottom else " "
    return DRAWN.get(character) or "?" * cell_len(character)


def wants_ascii() -> bool:
    """Whether the environment says that this terminal shows nothing but ASCII, or has no braille."""
    if os.environ.get("TERM") == "linux" or os.environ.get("FTTUI_ASCII"):
        return True
    # Python itself writes LC_CTYPE when the locale is C, so LANG counts before it. A locale that is not set at all
    # says nothing: containers have none, and their terminals are those of their users.
    locale = os.environ.get("LC_ALL") or os.environ.get("LANG") or os.environ.get("LC_CTYPE") or "UTF-8"
    return "utf" not in locale.lower()
