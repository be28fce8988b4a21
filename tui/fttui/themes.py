"""What each role of text looks like in each theme.

The hues are Okabe and Ito's, which colour-blind readers can tell apart; no meaning rests on a hue alone, every
state also has a glyph and a word. Rich maps them to the nearest of 256 colours where a terminal has no more.
"""

from dataclasses import replace
from typing import Final

from rich.style import Style
from textual.theme import BUILTIN_THEMES, Theme

from fttui.lines import ANSI_ROLES, Role, Span

ANSI: Final[dict[Role, Style]] = {role: Style(color=role.replace(" ", "_")) for role in ANSI_ROLES}


def _styles(
    *, dim: str, good: str, warn: str, bad: str, accent: str, note: str, rule: str, found: Style
) -> dict[Role, Style]:
    return {
        "plain": Style(),
        "dim": Style(color=dim),
        "strong": Style(bold=True),
        "good": Style(color=good),
        "warn": Style(color=warn),
        "bad": Style(color=bad, bold=True),
        "accent": Style(color=accent),
        "note": Style(color=note),
        "rule": Style(color=rule),
        "found": found,
        **ANSI,
    }


DARK: Final = {
    **_styles(
        dim="#8a8a8a",
        good="#1fb88a",
        warn="#e69f00",
        bad="#ff7043",
        accent="#56b4e9",
        note="#cc79a7",
        rule="#4e4e4e",
        found=Style(color="black", bgcolor="#e69f00"),
    ),
    # Black would not be seen on the dark ground of the screens.
    "black": Style(color="#8a8a8a"),
}
LIGHT: Final = {
    **_styles(
        dim="#5f5f5f",
        good="#00704e",
        warn="#8a5a00",
        bad="#b23600",
        accent="#00629b",
        note="#8a3f6a",
        rule="#b2b2b2",
        found=Style(color="black", bgcolor="#ffd787"),
    ),
    "white": Style(color="#5f5f5f"),
    "bright white": Style(color="#303030"),
}
HIGH_CONTRAST: Final = {
    **_styles(
        dim="#d0d0d0",
        good="#5fffaf",
        warn="#ffd700",
        bad="#ff8787",
        accent="#87d7ff",
        note="#ffafff",
        rule="#a8a8a8",
        found=Style(color="black", bgcolor="#ffd700"),
    ),
    "black": Style(color="#d0d0d0"),
}
# Blue against yellow and orange, the one contrast that every kind of colour-blindness but the rarest leaves.
COLOUR_BLIND: Final = {
    **DARK,
    "good": Style(color="#56b4e9"),
    "warn": Style(color="#f0e442"),
    "bad": Style(color="#ff8c1a", bold=True),
    "accent": Style(color="#9ad0f5"),
}
TERMINAL: Final = {
    **_styles(
        dim="default",
        good="green",
        warn="yellow",
        bad="red",
        accent="cyan",
        note="magenta",
        rule="default",
        found=Style(reverse=True),
    ),
    # Faint and not bright black, which some schemes, Solarized's among them, have made their background.
    "dim": Style(dim=True),
    "rule": Style(dim=True),
    "black": Style(color="bright_black"),
}

STYLES: Final[dict[str, dict[Role, Style]]] = {
    "dark": DARK,
    "light": LIGHT,
    "high-contrast": HIGH_CONTRAST,
    "colour-blind": COLOUR_BLIND,
    "terminal": TERMINAL,
}

MARKED: Final[dict[str, Style]] = {
    "dark": Style(bgcolor="#1c4560", bold=True),
    "light": Style(bgcolor="#c6e2f5", bold=True),
    "high-contrast": Style(color="#000000", bgcolor="#ffffff", bold=True),
    "colour-blind": Style(bgcolor="#1c4560", bold=True),
    "terminal": Style(reverse=True),
}
"""How the selected row differs from the others."""

TEXTUAL_THEMES: Final = (
    replace(BUILTIN_THEMES["textual-dark"], name="dark"),
    Theme(
        "light",
        primary="#00629b",
        accent="#8a5a00",
        warning="#8a5a00",
        error="#b23600",
        success="#00704e",
        foreground="#202020",
        background="#fafafa",
        surface="#eeeeee",
        panel="#e4e4e4",
        dark=False,
    ),
    Theme(
        "high-contrast",
        primary="#87d7ff",
        accent="#ffd700",
        warning="#ffd700",
        error="#ff8787",
        success="#5fffaf",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#000000",
    ),
    replace(BUILTIN_THEMES["textual-dark"], name="colour-blind", success="#56b4e9", error="#ff8c1a"),
    # Background and text stay the terminal's own, so it is as light or dark as everything else there.
    replace(BUILTIN_THEMES["ansi-dark"], name="terminal"),
)


def style_of(span: Span, theme: str) -> Style:
    """Return how a span looks."""
    style = STYLES[theme][span.role]
    return style + MARKED[theme] if span.marked else style


def fitting_theme(wanted: str | None, color_system: str | None, *, no_color: bool) -> str:
    """Return the theme that was asked for, where the terminal has the colours for it."""
    if no_color or color_system in (None, "standard"):
        # Without colours nothing would mark the selected row but its background; of 16 the nearest to a hue is often
        # the ground that it stands on.
        return "terminal"
    return wanted or "dark"
