"""Every key of the program, once: bindings, footer, help, palette and manual are made from this table.

One module per group of screens; their order is that of the footer.
"""

from typing import Final

from textual.binding import Binding

from fttui.keys.compare import COMPARE_KEYS
from fttui.keys.editor import EDITOR_KEYS, WAY_TO_EDITOR_KEYS
from fttui.keys.key import (
    COMPARE,
    DASHBOARD,
    DOCTOR,
    EDITOR,
    EVERYWHERE,
    GPUS,
    LOG,
    PAGES,
    SIGNS,
    Key,
    Scope,
    names_of,
)
from fttui.keys.log import LOG_KEYS
from fttui.keys.new_run import NEW_RUN_KEYS
from fttui.keys.pages import CHART_KEYS, ITEM_KEYS, LIST_KEYS, PAGE_KEYS
from fttui.keys.runs import ACTION_KEYS, MOVE_KEYS, WAY_KEYS

__all__ = ["KEYS", "SIGNS", "Key", "Scope", "bindings", "keys_of", "names_of"]

GENERAL_KEYS: Final = (
    Key(
        "palette",
        "colon,ctrl+p",
        ":",
        "palette",
        "palette",
        "find an action, a run or a theme by its name",
        EVERYWHERE,
        in_footer=False,
    ),
    Key(
        "suspend",
        "ctrl+z",
        "ctrl+z",
        "app.suspend_process",
        "suspend",
        "back to the shell; fg comes back here",
        EVERYWHERE,
        in_footer=False,
    ),
    Key("help", "question_mark,f1", "?", "help", "help", "this page", EVERYWHERE | EDITOR),
    Key(
        "back",
        "escape,q",
        "esc",
        "back",
        "back",
        "one screen back",
        PAGES | GPUS | DOCTOR | LOG | EDITOR | COMPARE,
    ),
    Key("quit", "q", "q", "app.quit", "quit", "leave fttui; the runs go on", DASHBOARD),
)

KEYS: Final = (
    *ACTION_KEYS,
    *CHART_KEYS,
    *ITEM_KEYS,
    *WAY_KEYS,
    *LIST_KEYS,
    *PAGE_KEYS,
    *MOVE_KEYS,
    *LOG_KEYS,
    *WAY_TO_EDITOR_KEYS,
    *EDITOR_KEYS,
    *NEW_RUN_KEYS,
    *COMPARE_KEYS,
    *GENERAL_KEYS,
)


def keys_of(scope: Scope) -> tuple[Key, ...]:
    """Return the keys that work on a screen."""
    return tuple(key for key in KEYS if scope in key.scopes)


def bindings(scope: Scope) -> list[Binding]:
    """Return the bindings of a screen."""
    return [Binding(key.keys, key.action, key.label, id=key.id, show=key.in_footer) for key in keys_of(scope)]
