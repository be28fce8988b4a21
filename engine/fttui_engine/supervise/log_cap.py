"""Keeping the log of an attempt below a size, so that a program that prints without end fills no disk."""

import time
from pathlib import Path

from fttui_engine.runs.journal import Journal
from fttui_engine.runs.log_cut import Cut, cut_middle

LOOK_SECONDS = 5.0
"""At a gigabyte per second, which no log was seen to grow by, 5 GB more than allowed."""


class LogCap:
    """Looks at one log now and then; what it did is in the events once, the log itself shows what is missing."""

    def __init__(self, path: Path, most_bytes: int, journal: Journal) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._journal = journal
        self._due = 0.0
        self._has_spoken = False

    def look(self) -> None:
        """Keep the log below its size, if it was not looked at just now."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + LOOK_SECONDS
            self.apply()

    def apply(self) -> None:
        """Cut the log where it is too large."""
        try:
            cut = cut_middle(self._path, self._most_bytes)
        except FileNotFoundError:
            return  # somebody deleted it
        except OSError as error:
            self._say("log_not_cut", f"The log cannot be kept below run.log_max_bytes: {error}.")
            return
        if cut and cut.is_first:
            self._say("log_cut", _words(cut, self._most_bytes))

    def _say(self, event: str, message: str) -> None:
        if not self._has_spoken:
            self._has_spoken = True
            self._journal.note(event, message)


def _words(cut: Cut, most_bytes: int) -> str:
    words = f"The log grew beyond run.log_max_bytes ({most_bytes / 1e6:,.0f} MB): its middle is cut out, here and later."
    if cut.is_hole:
        return words
    return (
        f"{words} The file system of the log cannot make holes, so the file is written anew for it: "
        "lines that are printed in that moment may change their place."
    )
