"""The leases of one run, from its supervisor's side: taken before an attempt starts, then handed to the keeper."""

import time
from typing import TYPE_CHECKING

from fttui_engine.supervise.leases import (
    LeaseError,
    holder_of,
    is_of,
    keep_alive,
    release,
    take,
)

if TYPE_CHECKING:
    from fttui_engine.runs.journal import Journal
    from fttui_engine.runs.run import Run

KEEP_ALIVE_SECONDS = 600.0


class Claim:
    """What this supervisor has taken and not handed over yet."""

    def __init__(self, run: "Run", journal: "Journal") -> None:
        self._run, self._journal = run, journal
        self._taken: dict[str, int] = {}
        self._next_touch = 0.0
        self._is_told = False

    def add(self, names: tuple[str, ...], descriptors: list[int]) -> None:
        """Keep leases that were taken elsewhere in this process."""
        self._taken |= dict(zip(names, descriptors, strict=True))

    def missing(self, names: tuple[str, ...]) -> str:
        """Take what is not held for this run yet; return who has it otherwise, ``""`` when the run has all."""
        for name in names:
            if name in self._taken:
                continue
            try:
                descriptor = take(name, self._run)
            except LeaseError as error:
                self._tell(error)
                return ""
            if descriptor is not None:
                self._taken[name] = descriptor
            elif (holder := holder_of(name)) and not is_of(holder, self._run):
                self.drop()
                return f"{_what(name)} is in use by {holder}"
        return ""

    def hand_over(self) -> list[int]:
        """Return the descriptors for the keeper; this process is to close its own with ``drop`` then."""
        return list(self._taken.values())

    def drop(self) -> None:
        """Close what this process holds; what the keeper has inherited stays held."""
        release(self._taken.values())
        self._taken.clear()

    def keep_alive(self, names: tuple[str, ...]) -> None:
        """Now and then, keep a cleaner of old files away from the leases of a long run."""
        if time.monotonic() >= self._next_touch:
            self._next_touch = time.monotonic() + KEEP_ALIVE_SECONDS
            for name in names:
                keep_alive(name)

    def _tell(self, error: LeaseError) -> None:
        """The run goes on without a lease: it was started for its GPUs, and nobody may be there to mend the folder."""
        if not self._is_told:
            self._is_told = True
            self._journal.note("no_lease", f"It has no lease: {error.message}; {error.hint}.")


def _what(name: str) -> str:
    return "its GPU" if name.startswith("gpu-") else "the turn of runs without GPU"
