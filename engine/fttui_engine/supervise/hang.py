"""Finding an attempt that gets on no longer, saying where it stands, and ending it.

Invariants:

- Silence counts only while it is listened to: a host that slept, a supervisor that was stopped and a clock that was set
  add nothing to it.
- What somebody stopped by a signal, or what waits inside the kernel, is said to be so and is not ended for it.
- The hang is in the events, with the stacks of every rank on disk, before anything is killed; a supervisor that follows
  one that died over it ends what that one found.
"""

import os
import time
from typing import NamedTuple

from fttui_engine.runs.attempt import Attempt
from fttui_engine.runs.events import read_events
from fttui_engine.runs.identity import start_ticks_and_status
from fttui_engine.runs.journal import Journal
from fttui_engine.runs.pulse import Pulse, read_pulses
from fttui_engine.runs.run import Plan, Run
from fttui_engine.runs.stacks import innermost_frame, waits_for_others
from fttui_engine.runs.states import State
from fttui_engine.supervise.evidence import recorded_process
from fttui_engine.supervise.stacks import RankStack, dump_stacks
from fttui_engine.supervise.tree import kill_run

EVENT = "hung"

LOOK_SECONDS = 1.0
MOST_PER_LOOK_SECONDS = 5.0
"""A look that comes later than this was not looking meanwhile."""
SLEPT_SECONDS = 1.0

STEPS_OF_PATIENCE = 20
LEAST_SECONDS = 300.0
LONGEST_SECONDS = 1800.0
"""For all that has no observed pace: loading, the first step with what it compiles, an evaluation's batch, saving."""
SECOND_DUMP_SECONDS = 10.0
MOVED_BYTES = 2**20
"""A rank that reads or writes this much gets on: weights that are loaded, a checkpoint on a slow disk."""

PACED = ("train", "eval")
"""Phases with a pulse after each batch; there, what is read and written proves nothing."""
PHASE_WORDS = {"train": "training", "eval": "evaluating", "save": "saving", "data": "preparing the data"}


class Clocks(NamedTuple):
    """The time that this process has lived, and that the host has: apart, while the host sleeps."""

    running: float
    with_sleep: float

    @classmethod
    def now(cls) -> "Clocks":
        """Return both."""
        return cls(time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))

    @property
    def slept(self) -> float:
        """The seconds since boot that the host slept."""
        return self.with_sleep - self.running


class HangWatch:
    """Looks at the pulses of one attempt."""

    def __init__(self, run: Run, plan: Plan, attempt: Attempt, journal: Journal) -> None:
        self._run, self._plan, self._attempt, self._journal = run, plan, attempt, journal
        self._clocks = Clocks.now()
        self._silent_seconds = 0.0
        self._suspected_at: float | None = None
        self._seen: object = None
        self._moved_bytes = 0
        self._paused = False
        self.message = ""
        """What is said of the hang that was found, ``""`` while there is none."""
        for event in read_events(run.events_path):
            if event.event == EVENT and event.attempt == attempt.number:
                self.message = event.message

    def look(self, now: Clocks | None = None) -> None:
        """Look once, at most once a second; end the attempt when it hangs."""
        now = now or Clocks.now()
        elapsed = now.running - self._clocks.running
        if elapsed < LOOK_SECONDS or not self._is_on():
            return
        if self.message:
            self._kill()
            return
        slept = now.slept - self._clocks.slept > SLEPT_SECONDS
        self._clocks = now
        self._silent_seconds += min(elapsed, MOST_PER_LOOK_SECONDS)
        pulses = read_pulses(self._attempt.path)
        is_paused = self._is_paused(pulses)
        if self._gets_on(pulses) or is_paused or slept:
            self._silent_seconds, self._suspected_at = 0.0, None
        elif self._silent_seconds >= self._limit_seconds(pulses):
            self._suspect(pulses)

    def _is_on(self) -> bool:
        """Whether it is wanted: of a program that is not ours only where a number says how long is too long."""
        given = self._plan.hang_seconds
        return given > 0 if given is not None else self._plan.kind == "train"

    def _limit_seconds(self, pulses: list[Pulse]) -> float:
        """Return how long a silence is too long now; of ranks in different phases the patient one counts."""
        if self._plan.hang_seconds is not None:
            return self._plan.hang_seconds
        return max((_limit_of(pulse) for pulse in pulses), default=LONGEST_SECONDS)

    def _gets_on(self, pulses: list[Pulse]) -> bool:
        """Whether anything was done since the last look."""
        seen: object = [(pulse.rank, pulse.pid, pulse.beats) for pulse in pulses]
        if self._plan.kind != "train":
            seen = _size(self._attempt)
        if seen != self._seen:
            self._seen = seen
            return True
        if self._plan.kind != "train" or any(pulse.phase in PACED for pulse in pulses):
            return False
        moved = sum(map(_moved_bytes, self._pids(pulses)))
        if abs(moved - self._moved_bytes) < MOVED_BYTES:
            return False
        self._moved_bytes = moved
        return True

    def _pids(self, pulses: list[Pulse]) -> list[int]:
        if pulses:
            return [pulse.pid for pulse in pulses if pulse.status()]
        process = recorded_process(self._run, self._attempt)
        return [process.pid] if process and process.is_alive else []

    # What is silent and does not hang.

    def _is_paused(self, pulses: list[Pulse]) -> bool:
        """Whether a rank was stopped by a signal or a debugger; said once, and once when it goes on."""
        pids = [pid for pid in self._pids(pulses) if _status(pid) in "Tt"]
        if bool(pids) != self._paused:
            self._paused = bool(pids)
            words = ", ".join(map(str, pids))
            if pids:
                message = f"Paused by a signal: process {words} is stopped; kill -CONT {words.replace(',', '')} lets it go on."
                self._journal.note("paused", message)
            else:
                self._journal.note("continued", "It was allowed to go on.")
            self._describe("paused by a signal (SIGSTOP)" if pids else "")
        return bool(pids)

    def _describe(self, detail: str) -> None:
        # A run that is starting says which phase it is in.
        if self._journal.state.state is State.RUNNING:
            self._journal.describe(detail)

    # What hangs.

    def _suspect(self, pulses: list[Pulse]) -> None:
        """Ask all ranks twice what they do, and end the attempt if nothing moved between the two."""
        if self._suspected_at is None:
            self._suspected_at = self._silent_seconds
            minutes = shown_duration(self._silent_seconds)
            dump_stacks(self._attempt, f"nothing was done for {minutes}")
            self._journal.note(
                "hang_suspected", f"Nothing was done for {minutes}; its stacks are written down."
            )
            return
        if self._silent_seconds - self._suspected_at < min(SECOND_DUMP_SECONDS, self._limit_seconds(pulses)):
            return
        stuck = [pid for pid in self._pids(pulses) if _status(pid) == "D"]
        if stuck:
            # SIGKILL would not reach it before its I/O returns, and then it may go on by itself.
            self._describe(
                f"process {stuck[0]} waits inside the kernel: for a disk, a network folder or a driver"
            )
            return
        stacks = dump_stacks(self._attempt, "about to be killed")
        if self._gets_on(read_pulses(self._attempt.path)):
            self._silent_seconds, self._suspected_at = 0.0, None
            return
        self.message = self._found(stacks)
        self._journal.note(EVENT, self.message)
        self._describe("killing all processes")
        self._kill()

    def _kill(self) -> None:
        if stuck := kill_run(self._run):
            self._describe(f"processes {stuck} survived SIGKILL; they wait inside the kernel")

    def _found(self, stacks: list[RankStack]) -> str:
        lasted = shown_duration(self._silent_seconds)
        if self._plan.kind != "train":
            return f"It hung: the program wrote nothing to its log for {lasted}."
        return f"It hung: nothing was done for {lasted}. {where_it_stands(stacks)}".rstrip()


def where_it_stands(stacks: list[RankStack]) -> str:
    """Return in a sentence which rank is behind, or where the only one is; ``""`` where nobody answered."""
    if not stacks:
        return ""
    late = [stack for stack in stacks if _place(stack) == min(map(_place, stacks))]
    if len(late) == len(stacks) > 1:
        # All began the same batch: whoever is not waiting for the others is whom they wait for.
        late = [stack for stack in stacks if not (stack.text and waits_for_others(stack.text))]
    pulse = stacks[0].pulse
    if not late or len(late) == len(stacks) > 1:
        return f"All {len(stacks)} ranks are at step {pulse.step}, batch {pulse.batches}."
    frame = innermost_frame(late[0].text) if late[0].text else late[0].why_silent
    doing = PHASE_WORDS.get(late[0].pulse.phase, late[0].pulse.phase)
    where = f", in {frame}" if late[0].text and frame else f" ({frame})" if frame else ""
    if len(stacks) == 1:
        return f"It was {doing} after step {pulse.step}{where}."
    names = " and ".join(str(stack.pulse.rank) for stack in late)
    verb = "is" if len(late) == 1 else "are"
    return f"Rank {names} of {len(stacks)} {verb} behind: {doing} after step {late[0].pulse.step}{where}."


def shown_duration(seconds: float) -> str:
    """Return a duration in words: ``8 s``, ``12 min``."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _limit_of(pulse: Pulse) -> float:
    if pulse.phase == "train" and pulse.step_seconds:
        return max(LEAST_SECONDS, STEPS_OF_PATIENCE * pulse.step_seconds)
    return LONGEST_SECONDS


def _place(stack: RankStack) -> tuple[int, int]:
    return stack.pulse.step, stack.pulse.batches


def _status(pid: int) -> str:
    found = start_ticks_and_status(pid)
    return found[1] if found else "X"


def _moved_bytes(pid: int) -> int:
    """Return what a process has read and written in its life; what it maps counts when it comes from the disk."""
    try:
        with open(f"/proc/{pid}/io") as file:
            fields = dict(line.split(": ") for line in file)
        return int(fields["rchar"]) + int(fields["wchar"]) + int(fields["read_bytes"])
    except (OSError, ValueError, KeyError):
        return 0


def _size(attempt: Attempt) -> int:
    try:
        return os.stat(attempt.log_path).st_size
    except OSError:
        return 0
