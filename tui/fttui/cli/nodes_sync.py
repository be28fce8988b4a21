"""Copying to several machines at once, with one line of progress per file and machine."""

import sys
import time
from threading import Lock

from fttui_engine.errors import FttuiError
from fttui_engine.nodes.checks_alone import size
from fttui_engine.nodes.conversation import Conversation
from fttui_engine.nodes.needed import Needed
from fttui_engine.nodes.ssh import MachineError
from fttui_engine.nodes.sync import copy_to
from fttui_engine.nodes.talks import Talks
from fttui_engine.runs.logs import one_line

# Lines in a log file are not for watching.
SECONDS_BETWEEN = 0.5 if sys.stderr.isatty() else 10.0


def sync(talks: Talks, missing: dict[str, list[Needed]]) -> list[str]:
    """Copy to all machines at once; returns what could not be copied, a sentence each."""
    meter = _Meter()
    troubles: list[str] = []

    def copy(talk: Conversation) -> None:
        for needed in missing[talk.machine.name]:
            try:
                path = copy_to(talk, needed, meter.tell)
            except MachineError:
                raise
            except FttuiError as error:
                troubles.append(f"{error.message} ({error.hint})" if error.hint else error.message)
            else:
                meter.say(f"{talk.machine.name}: {needed.name} is there: {path}")

    talks.each(copy, missing)
    return troubles + [error.message for name, error in talks.broken.items() if name in missing]


class _Meter:
    def __init__(self) -> None:
        self._lock = Lock()
        self._told: dict[tuple[str, str], float] = {}

    def tell(self, machine: str, needed: Needed, done: int, total: int) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._told.get((machine, needed.name), 0.0) < SECONDS_BETWEEN and done < total:
                return
            self._told[machine, needed.name] = now
        percent = 100 * done // max(1, total)
        self.say(f"{machine}: {needed.name}: {size(done)} of {size(total)}, {percent} %")

    def say(self, text: str) -> None:
        with self._lock:
            print(one_line(f"fttui: {text}"), file=sys.stderr, flush=True)
