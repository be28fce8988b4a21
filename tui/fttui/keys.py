"""Every key of the program, once: bindings, footer and help screen are made from this table."""

from dataclasses import dataclass
from typing import Final, Literal

from textual.binding import Binding

Scope = Literal["dashboard", "run", "chart", "checkpoints", "events", "config", "files", "gpus", "log"]

DASHBOARD: Final = frozenset[Scope]({"dashboard"})
RUN: Final = frozenset[Scope]({"run"})
CHART: Final = frozenset[Scope]({"chart"})
CHECKPOINTS: Final = frozenset[Scope]({"checkpoints"})
CONFIG: Final = frozenset[Scope]({"config"})
FILES: Final = frozenset[Scope]({"files"})
LOG: Final = frozenset[Scope]({"log"})
WITH_A_RUN: Final = DASHBOARD | RUN
GPUS: Final = frozenset[Scope]({"gpus"})
RUN_LISTS: Final = frozenset[Scope]({"checkpoints", "events", "config", "files"})
LISTS: Final = RUN_LISTS | GPUS
PAGES: Final = RUN | CHART | RUN_LISTS
EVERYWHERE: Final = DASHBOARD | PAGES | GPUS | LOG


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
    Key("stop", "s", "s", "stop_run", "stop", "save a checkpoint, then stop", WITH_A_RUN | CHART),
    Key("resume", "r", "r", "resume_run", "resume", "go on from the newest whole checkpoint", WITH_A_RUN),
    Key("kill", "K", "K", "kill_run", "kill", "kill at once; what was not saved is lost", WITH_A_RUN),
    Key("delete", "d", "d", "delete_run", "delete", "delete an ended run and its checkpoints", WITH_A_RUN),
    Key("chart-metric", "m", "m", "metric(1)", "metric", "next metric", CHART),
    Key("chart-metric-before", "M", "M", "metric(-1)", "metric", "metric before", CHART, in_footer=False),
    Key("chart-inspect", "i", "i", "inspect", "inspect", "a cursor to read values from, or none", CHART),
    Key("chart-compare", "c", "c", "compare", "compare", "choose runs to lay over this one", CHART),
    Key("chart-x", "x", "x", "x_axis", "x axis", "x axis by step, time or tokens", CHART),
    Key("chart-log", "o", "o", "log_axis", "log", "logarithmic y axis, or not", CHART),
    Key("chart-smooth", "right_curly_bracket", "}", "smooth(1)", "smooth", "smooth more", CHART),
    Key(
        "chart-smooth-less",
        "left_curly_bracket",
        "{",
        "smooth(-1)",
        "smooth",
        "smooth less",
        CHART,
        in_footer=False,
    ),
    Key("chart-zoom", "plus,equals_sign", "+", "zoom(1)", "zoom", "zoom in, at the cursor or the end", CHART),
    Key("chart-zoom-out", "minus", "-", "zoom(-1)", "zoom", "zoom out", CHART, in_footer=False),
    Key(
        "chart-left",
        "h,left",
        "left",
        "pan(-1)",
        "left",
        "cursor or window to the left",
        CHART,
        in_footer=False,
    ),
    Key(
        "chart-right",
        "right",
        "right",
        "pan(1)",
        "right",
        "cursor or window to the right",
        CHART,
        in_footer=False,
    ),
    Key("chart-all", "0", "0", "zoom(0)", "all", "the whole x axis", CHART, in_footer=False),
    Key(
        "checkpoint-resume",
        "enter,r",
        "enter",
        "resume_from",
        "resume from here",
        "go on from this checkpoint; later ones are put aside",
        CHECKPOINTS,
    ),
    Key(
        "checkpoint-delete",
        "d",
        "d",
        "delete_checkpoint",
        "delete",
        "delete this checkpoint",
        CHECKPOINTS,
    ),
    Key("file-open", "enter", "enter", "open_file", "read", "read this file as a log", FILES),
    Key("path-copy", "y", "y", "copy_path", "copy path", "copy the path", CHECKPOINTS | FILES),
    Key(
        "config-changed",
        "o",
        "o",
        "only_changed",
        "only changed",
        "only what is not the default, or all",
        CONFIG,
    ),
    Key("config-compare", "c", "c", "compare", "compare", "choose a run to compare with", CONFIG),
    Key("log", "l", "l", "open_log", "log", "read the run's log", DASHBOARD | PAGES),
    Key(
        "gpus",
        "u",
        "u",
        "open_gpus",
        "GPUs",
        "the GPUs in full, with every process",
        DASHBOARD,
        in_footer=False,
    ),
    Key("mark", "space", "space", "mark", "mark", "mark for comparison, or not", DASHBOARD, in_footer=False),
    Key("list-down", "j,down", "j", "scroll(1)", "down", "one line down", LISTS, in_footer=False),
    Key("list-up", "k,up", "k", "scroll(-1)", "up", "one line up", LISTS, in_footer=False),
    Key("list-page-down", "space,pagedown", "space", "scroll_page(1)", "page", "one page down", LISTS),
    Key("list-page-up", "b,pageup", "b", "scroll_page(-1)", "back", "one page up", LISTS, in_footer=False),
    Key("list-first", "g,home", "g", "scroll(-100000)", "first", "to the first line", LISTS, in_footer=False),
    Key("list-last", "G,end", "G", "scroll(100000)", "last", "to the last line", LISTS, in_footer=False),
    Key("page-next", "tab", "tab", "next_page(1)", "page", "next page about this run", PAGES),
    Key(
        "page-before",
        "shift+tab",
        "shift+tab",
        "next_page(-1)",
        "page",
        "page before",
        PAGES,
        in_footer=False,
    ),
    Key("page-overview", "1", "1", "page('run')", "overview", "overview", PAGES, in_footer=False),
    Key("page-charts", "2", "2", "page('chart')", "charts", "charts of all metrics", PAGES, in_footer=False),
    Key(
        "page-checkpoints",
        "3",
        "3",
        "page('checkpoints')",
        "checkpoints",
        "checkpoints",
        PAGES,
        in_footer=False,
    ),
    Key("page-events", "4", "4", "page('events')", "events", "what happened to it", PAGES, in_footer=False),
    Key("page-config", "5", "5", "page('config')", "config", "its configuration", PAGES, in_footer=False),
    Key("page-files", "6", "6", "page('files')", "files", "its files", PAGES, in_footer=False),
    Key("down", "j,down", "j", "move(1)", "down", "next run", DASHBOARD, in_footer=False),
    Key("up", "k,up", "k", "move(-1)", "up", "previous run", DASHBOARD, in_footer=False),
    Key("first", "g,home", "g", "move(-100000)", "first", "first run", DASHBOARD, in_footer=False),
    Key("last", "G,end", "G", "move(100000)", "last", "last run", DASHBOARD, in_footer=False),
    Key("log-down", "j,down", "j", "scroll(1)", "down", "one line down", LOG, in_footer=False),
    Key(
        "log-up", "k,up", "k", "scroll(-1)", "up", "one line up, which stops following", LOG, in_footer=False
    ),
    Key(
        "log-page-down",
        "space,pagedown",
        "space",
        "scroll_page(1)",
        "page",
        "one page down",
        LOG,
        in_footer=False,
    ),
    Key("log-page-up", "b,pageup", "b", "scroll_page(-1)", "back", "one page up", LOG, in_footer=False),
    Key("log-first", "g,home", "g", "scroll_to_start", "start", "to the first line", LOG),
    Key("log-follow", "G,end,f", "f", "follow", "follow", "to the end, and follow what is written", LOG),
    Key(
        "log-find",
        "slash",
        "/",
        "ask('find')",
        "find",
        "find a regular expression; nothing ends the search",
        LOG,
    ),
    Key("log-next", "n", "n", "find(1)", "next", "next match", LOG),
    Key("log-previous", "N", "N", "find(-1)", "previous", "match before", LOG, in_footer=False),
    Key(
        "log-filter",
        "ampersand",
        "&",
        "ask('filter')",
        "filter",
        "show only lines that match; nothing shows all",
        LOG,
    ),
    Key("log-rank", "right_square_bracket", "]", "rank(1)", "rank", "only the lines of the next rank", LOG),
    Key(
        "log-rank-before",
        "left_square_bracket",
        "[",
        "rank(-1)",
        "rank",
        "only the lines of the rank before",
        LOG,
        in_footer=False,
    ),
    Key("log-wrap", "w", "w", "switch('wraps')", "wrap", "break long lines, or shift them", LOG),
    Key("log-select", "v", "v", "select", "select", "select lines with j and k; again to leave it", LOG),
    Key("log-copy", "y", "y", "take('clipboard')", "copy", "copy the selection, or else the screen", LOG),
    Key(
        "log-save",
        "Y",
        "Y",
        "take('file')",
        "file",
        "write it to a file in the present folder",
        LOG,
        in_footer=False,
    ),
    Key(
        "log-attempt-before",
        "less_than_sign",
        "<",
        "attempt(-1)",
        "attempt",
        "log of the attempt before",
        LOG,
        in_footer=False,
    ),
    Key(
        "log-attempt",
        "greater_than_sign",
        ">",
        "attempt(1)",
        "attempt",
        "log of the next attempt",
        LOG,
        in_footer=False,
    ),
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
    Key(
        "log-timestamps",
        "t",
        "t",
        "switch('timestamps')",
        "times",
        "show or hide the time that lines begin with",
        LOG,
        in_footer=False,
    ),
    Key(
        "log-colours",
        "a",
        "a",
        "switch('colours')",
        "colours",
        "show or hide the colours that were written",
        LOG,
        in_footer=False,
    ),
    Key("help", "question_mark,f1", "?", "help", "help", "this page", EVERYWHERE),
    Key("back", "escape,q", "esc", "back", "back", "one screen back", PAGES | GPUS | LOG),
    Key("quit", "q", "q", "app.quit", "quit", "leave fttui; the runs go on", DASHBOARD),
)


SIGNS: Final = {
    "question_mark": "?",
    "slash": "/",
    "ampersand": "&",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
}
"""What stands on the keys that Textual has names for."""


def names_of(key: Key) -> list[str]:
    """Return what to press, as people write it."""
    return [SIGNS.get(name, name) for name in key.keys.split(",")]


def keys_of(scope: Scope) -> tuple[Key, ...]:
    """Return the keys that work on a screen."""
    return tuple(key for key in KEYS if scope in key.scopes)


def bindings(scope: Scope) -> list[Binding]:
    """Return the bindings of a screen."""
    return [Binding(key.keys, key.action, key.label, id=key.id, show=key.in_footer) for key in keys_of(scope)]
