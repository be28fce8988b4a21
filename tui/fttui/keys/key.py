"""What a key is, on which screens it works, and how people write it."""

from dataclasses import dataclass
from typing import Final, Literal

Scope = Literal[
    "dashboard",
    "run",
    "chart",
    "checkpoints",
    "events",
    "config",
    "files",
    "gpus",
    "doctor",
    "log",
    "new-run",
    "new-hardware",
    "new-review",
    "compare",
    "editor",
    "editor-text",
]

DASHBOARD: Final = frozenset[Scope]({"dashboard"})
RUN: Final = frozenset[Scope]({"run"})
CHART: Final = frozenset[Scope]({"chart"})
CHECKPOINTS: Final = frozenset[Scope]({"checkpoints"})
CONFIG: Final = frozenset[Scope]({"config"})
FILES: Final = frozenset[Scope]({"files"})
LOG: Final = frozenset[Scope]({"log"})
WITH_A_RUN: Final = DASHBOARD | RUN
GPUS: Final = frozenset[Scope]({"gpus"})
DOCTOR: Final = frozenset[Scope]({"doctor"})
RUN_LISTS: Final = frozenset[Scope]({"checkpoints", "events", "config", "files"})
LISTS: Final = RUN_LISTS | GPUS | DOCTOR
PAGES: Final = RUN | CHART | RUN_LISTS
NEW_RUN: Final = frozenset[Scope]({"new-run"})
NEW_RUN_HARDWARE: Final = frozenset[Scope]({"new-hardware"})
NEW_RUN_REVIEW: Final = frozenset[Scope]({"new-review"})
NEW_RUN_STEPS: Final = NEW_RUN | NEW_RUN_HARDWARE | NEW_RUN_REVIEW
COMPARE: Final = frozenset[Scope]({"compare"})
EDITOR: Final = frozenset[Scope]({"editor"})
EDITOR_TEXT: Final = frozenset[Scope]({"editor-text"})
EVERYWHERE: Final = DASHBOARD | PAGES | GPUS | DOCTOR | LOG | COMPARE


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
    changes: bool = False
    """Whether it changes anything but the screen; read-only mode then refuses it."""


SIGNS: Final = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
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
