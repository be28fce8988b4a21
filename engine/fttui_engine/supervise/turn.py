"""A run's turn in the queue: whom it follows, its place in line, the GPUs that it waits for.

Nothing here is remembered on disk but the request and the ticket: a supervisor that follows a dead one looks anew.
Invariants:

- Only who holds the leases of all that it wants is given its turn; it takes all of them or none.
- Only the first in line, and runs that may pass others, look at the GPUs: 20 waiting runs ask the driver once.
- A run that was promised another's result never starts without it: it is parked, which is for a person to resolve.
"""

import time
from typing import TYPE_CHECKING, NamedTuple

from fttui_engine.runs.journal import read_state
from fttui_engine.runs.queueing import QueueRequest
from fttui_engine.runs.run import Run
from fttui_engine.runs.states import State
from fttui_engine.supervise.gpu_look import GpuLook, SeenGpu
from fttui_engine.supervise.leases import CPU, LeaseError, holder_of, lease_name, take_all
from fttui_engine.supervise.queue_line import Place, Ticket, who_waits

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOK_SECONDS = 2.0
FAR_LOOK_SECONDS = 6.0
"""For those behind the second in line: 20 waiting runs take half as much of a core."""
MOST_REASONS = 3

_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


class Waits(NamedTuple):
    """Not yet: for whom or what it waits."""

    detail: str


class Granted(NamedTuple):
    """Its turn: what it may use, and the descriptors that hold it."""

    gpus: list[int] | None
    leases: tuple[str, ...]
    descriptors: list[int]


class Refused(NamedTuple):
    """Never by itself: what a person has to know."""

    reason: str


class Turn:
    """One waiting run."""

    def __init__(self, run: Run, request: QueueRequest) -> None:
        self._run, self._request = run, request
        self._ticket = Ticket(run, request)
        self._gpus = GpuLook()
        self._next_look = 0.0
        self._latest: Waits | Granted | Refused = Waits("")

    def look(self) -> Waits | Granted | Refused:
        """Return where it stands; looks only so often."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_SECONDS
            try:
                self._latest = self._look()
            except LeaseError as error:
                self._latest = Waits(f"{error.message}; {error.hint}")
        return self._latest

    def close(self) -> None:
        """Leave the line."""
        self._ticket.leave()
        self._gpus.close()

    def _look(self) -> Waits | Granted | Refused:
        for name in self._request.after:
            if found := self._follows(Run(self._run.path.with_name(name))):
                self.close()  # it is not in line yet; its place is kept by the time that it was queued
                return found
        if not self._ticket.hold():
            return Waits("takes its place in the queue")
        ahead = self._ticket.ahead()
        if ahead and not self._request.backfill:
            self._gpus.close()
            if len(ahead) > 1:
                self._next_look = time.monotonic() + FAR_LOOK_SECONDS
            return Waits(self._behind(ahead))
        place = f"{ordinal(len(ahead) + 1)} in the queue"
        return self._want_gpus(place) if self._request.kind == "gpu" else self._want_cpu(place)

    def _follows(self, other: Run) -> Waits | Refused | None:
        """Return what a run that has to finish first means for this one, ``None`` when it has."""
        if not other.plan_path.exists():
            return Refused(f"{other.id}, which it was to follow, was deleted.")
        state = read_state(other)
        if state.state is State.FINISHED:
            return None
        if state.state.is_live or state.state is State.INTERRUPTED:
            return Waits(f"waits for the end of {other.id}, which is {state.state}")
        why = f": {state.exit.message}" if state.exit and state.exit.message else "."
        return Refused(f"{other.id}, which it was to follow, is {state.state}{why}")

    def _behind(self, ahead: list[Place]) -> str:
        first = who_waits(ahead[0])
        place = f"{ordinal(len(ahead) + 1)} in the queue"
        if self._request.kind == "cpu":
            return f"{place}, the first is {_of(first.run, first.user)}"
        free = "" if first.free is None else f": {first.free} free"
        return f"{place}, waits for {self._wants()}{free}; the first is {_of(first.run, first.user)}"

    def _want_cpu(self, place: str) -> Waits | Granted:
        if (descriptors := take_all([CPU], self._run)) is not None:
            return Granted(None, (CPU,), descriptors)
        return Waits(f"{place}, waits for the end of {holder_of(CPU) or 'another run'}")

    def _want_gpus(self, place: str) -> Waits | Granted:
        seen = self._gpus.latest()
        if seen is None:
            return Waits(f"{place}, asks the driver for free GPUs")
        if seen.error:
            return Waits(f"{place}, waits for {self._wants()}: {seen.error}")
        free, reasons = self._sort_out(seen.gpus)
        self._ticket.say(len(free))
        if (chosen := self._choose(free)) is not None:
            names = tuple(sorted(lease_name(gpu.index, gpu.uuid) for gpu in chosen))
            if (descriptors := take_all(names, self._run)) is not None:
                return Granted(sorted(gpu.index for gpu in chosen), names, descriptors)
        said = f" ({', '.join(reasons[:MOST_REASONS])})" if reasons else ""
        return Waits(f"{place}, waits for {self._wants()}: {len(free)} free{said}")

    def _sort_out(self, seen: "Sequence[SeenGpu]") -> tuple[list[SeenGpu], list[str]]:
        """Return the free ones among the GPUs that it may have, and why the others are not."""
        wanted = self._request.only
        free, reasons = [], []
        for gpu in seen:
            if wanted and gpu.index not in wanted:
                continue
            holder = holder_of(lease_name(gpu.index, gpu.uuid))
            if trouble := str(holder or "") or gpu.trouble:
                reasons.append(f"GPU {gpu.index}: {trouble}")
            else:
                free.append(gpu)
        there = {gpu.index for gpu in seen}
        reasons += [f"GPU {index}: not there" for index in wanted if index not in there]
        return free, reasons

    def _choose(self, free: list[SeenGpu]) -> list[SeenGpu] | None:
        count = len(self._request.only) or self._request.gpus
        by_room = sorted(free, key=lambda gpu: (-gpu.free_bytes, gpu.index))
        return by_room[:count] if len(free) >= count else None

    def _wants(self) -> str:
        if only := self._request.only:
            return "GPU " + ", ".join(map(str, only))
        return "a GPU" if self._request.gpus == 1 else f"{self._request.gpus} GPUs"


def ordinal(number: int) -> str:
    """Return ``1st``, ``2nd``, ``11th``."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{_ENDINGS.get(number % 10, 'th')}"


def _of(run: str, user: str) -> str:
    return f"{run} ({user})" if user else run
