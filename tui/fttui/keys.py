"""Every key of the program, once: bindings, footer and help screen are made from this table."""

from dataclasses import dataclass
from typing import Final, Literal

from textual.binding import Binding

Scope = Literal["dashboard", "run", "log"]

DASHBOARD: Final = frozenset[Scope]({"dashboard"})
RUN: Final = frozenset[Scope]({"run"})
LOG: Final = frozenset[Scope]({"log"})
WITH_A_RUN: Final = DASHBOARD | RUN
EVERYWHERE: Final = DASHBOARD | RUN | LOG


@dataclass(frozen=True, slots=True)
class Key:
    """One key: ``id`` names it for good, ``label`` stands in the footer, ``help`` on the help screen."""

    id: str
    keys: str
    shown: str
    action: str
    label: str
    help: str
    scopes: frozenset[Scope]
    in_footer: bool = True


KEYS: Final = (
    Key("open", "enter", "enter", "open_run", "open", "show the selected run in full", DASHBOARD),
    Key("new", "n", "n", "new_run", "new", "start a new run from a profile or a YAML file", WITH_A_RUN),
    Key("stop", "s", "s", "stop_run", "stop", "save a checkpoint, then stop", WITH_A_RUN),
    Key("resume", "r", "r", "resume_run", "resume", "go on from the newest whole checkpoint", WITH_A_RUN),
    Key("kill", "K", "K", "kill_run", "kill", "kill at once; what was not saved is lost", WITH_A_RUN),
    Key("delete", "d", "d", "delete_run", "delete", "delete an ended run and its checkpoints", WITH_A_RUN),
    Key("log", "l", "l", "open_log", "log", "read the run's log", WITH_A_RUN),
    Key("down", "j,down", "j", "move(1)", "down", "next run", DASHBOARD, in_footer=False),
    Key("up", "k,up", "k", "move(-1)", "up", "previous run", DASHBOARD, in_footer=False),
    Key("first", "g,home", "g", "move(-100000)", "first", "first run", DASHBOARD, in_footer=False),
    Key("last", "G,end", "G", "move(100000)", "last", "last run", DASHBOARD, in_footer=False),
    Key("log-down", "j,down", "j", "scroll(1)", "down", "one line down", LOG),
    Key("log-up", "k,up", "k", "scroll(-1)", "up", "one line up, which stops following", LOG),
    Key("log-page-down", "space,pagedown", "space", "scroll_page(1)", "page", "one page down", LOG),
    Key("log-page-up", "b,pageup", "b", "scroll_page(-1)", "back", "one page up", LOG),
    Key("log-first", "g,home", "g", "scroll_to_start", "start", "to the first line that is kept", LOG),
    Key("log-follow", "G,end,f", "f", "follow", "follow", "to the end, and follow what is written", LOG),
    Key("log-left", "h,left", "h", "shift(-20)", "left", "shift long lines back", LOG, in_footer=False),
    Key(
        "log-right",
        "right",
        "right",
        "shift(20)",
        "right",
        "see the rest of long lines",
        LOG,
        in_footer=False,
    ),
    Key("help", "question_mark,f1", "?", "help", "help", "this page", EVERYWHERE),
    Key("back", "escape,q", "esc", "back", "back", "one screen back", RUN | LOG),
    Key("quit", "q", "q", "app.quit", "quit", "leave fttui; the runs go on", DASHBOARD),
)


def keys_of(scope: Scope) -> tuple[Key, ...]:
    """Return the keys that work on a screen."""
    return tuple(key for key in KEYS if scope in key.scopes)


def bindings(scope: Scope) -> list[Binding]:
    """Return the bindings of a screen."""
    return [Binding(key.keys, key.action, key.label, id=key.id, show=key.in_footer) for key in keys_of(scope)]
