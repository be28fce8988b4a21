"""What each role of text looks like.

The hues are Okabe and Ito's, which colour-blind readers can tell apart; no meaning rests on a hue alone, every
state also has a glyph and a word. Rich maps them to the nearest of 256 or 16 colours where a terminal has no more.
"""

from typing import Final

from rich.style import Style

from fttui.lines import ANSI_ROLES, Role, Span

SKY_BLUE: Final = "#56b4e9"
GREEN: Final = "#1fb88a"
ORANGE: Final = "#e69f00"
VERMILLION: Final = "#ff7043"
PURPLE: Final = "#cc79a7"
GREY: Final = "#8a8a8a"
DARK_GREY: Final = "#4e4e4e"
SELECTION: Final = "#1c4560"

STYLES: Final[dict[Role, Style]] = {
    "plain": Style(),
    "dim": Style(color=GREY),
    "strong": Style(bold=True),
    "good": Style(color=GREEN),
    "warn": Style(color=ORANGE),
    "bad": Style(color=VERMILLION, bold=True),
    "accent": Style(color=SKY_BLUE),
    "note": Style(color=PURPLE),
    "rule": Style(color=DARK_GREY),
    "found": Style(color="black", bgcolor=ORANGE),
    **{role: Style(color=role.replace(" ", "_")) for role in ANSI_ROLES},
    # Black would not be seen on the dark ground of the screens.
    "black": Style(color=GREY),
}

MARKED: Final = Style(bgcolor=SELECTION, bold=True)


def style_of(span: Span) -> Style:
    """Return how a span looks."""
    return STYLES[span.role] + MARKED if span.marked else STYLES[span.role]
