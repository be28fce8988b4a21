"""What this terminal can show, for ``fttui doctor``: from its environment only, nothing is asked of it."""

import locale
import os
import sys

from fttui_engine.doctor.finding import Finding

SUBJECT = "terminal"
SMALLEST = (80, 24)


def look_at_terminal() -> list[Finding]:
    """Kind, size, colours, characters and clipboard."""
    if not (sys.__stdout__ and sys.__stdout__.isatty()):
        return [
            Finding(
                SUBJECT, "ok", "the output is no terminal; the verbs work everywhere, the screens need one"
            )
        ]
    term = os.environ.get("TERM", "")
    if term in ("", "dumb", "unknown"):
        fix = "export TERM=xterm-256color, if your terminal is any of the usual ones"
        return [Finding(SUBJECT, "warning", f"TERM={term or 'nothing'} cannot show the screens", fix)]
    return [*_size(term), *_characters(term), *_clipboard()]


def _size(term: str) -> list[Finding]:
    columns, lines = os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else 1)
    text = f"{term}, {columns}x{lines}, {_colours(term)}"
    if columns < SMALLEST[0] or lines < SMALLEST[1]:
        fix = "make it larger; the screens show all of their parts from 80x24 on"
        return [Finding(SUBJECT, "note", text, fix)]
    return [Finding(SUBJECT, "ok", text)]


def _colours(term: str) -> str:
    if os.environ.get("NO_COLOR"):
        return "no colours (NO_COLOR)"
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return "all colours"
    return "256 colours" if "256color" in term else "16 colours"


def _characters(term: str) -> list[Finding]:
    encoding = locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") != "utf8":
        fix = "export LC_ALL=C.UTF-8 (or set FTTUI_ASCII=1)"
        return [
            Finding(
                SUBJECT, "warning", f"the locale's encoding is {encoding}: curves and bars need UTF-8", fix
            )
        ]
    if term == "linux":
        return [Finding(SUBJECT, "note", "the Linux console has no braille; charts are drawn in ASCII")]
    return []


def _clipboard() -> list[Finding]:
    if os.environ.get("STY"):
        text = "GNU screen passes 256 colours at the most, and copying only short texts"
        return [Finding(SUBJECT, "note", text, "tmux passes more; runs need neither")]
    if os.environ.get("TMUX"):
        return [Finding(SUBJECT, "ok", "in tmux: copying goes through its buffer (tmux 3.2 or newer)")]
    return []
