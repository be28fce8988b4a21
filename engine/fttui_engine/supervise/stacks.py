"""Asking the ranks of a live attempt what they are doing; it changes nothing for them.

Invariant: only a process that is known to catch the signal gets it, and only by a descriptor that was checked to be that
very process. To any other the signal would mean its end.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fttui_engine.runs.attempt import Attempt
from fttui_engine.runs.home import PRIVATE_FILE, PRIVATE_FOLDER
from fttui_engine.runs.identity import start_ticks_and_status
from fttui_engine.runs.pulse import Pulse, read_pulses
from fttui_engine.runs.stacks import MARK, STACKS_SIGNAL, latest_dump

ANSWER_SECONDS = 3.0
"""A dump takes 0.2 to 2 ms; a process that the kernel does not let run never answers."""
MOST_CHILDREN = 16
"""Data loaders of a rank that are asked too: they are alike."""

STATES = {"T": "stopped by a signal", "t": "stopped by a debugger", "D": "waiting inside the kernel"}


class RankStack(NamedTuple):
    """What one rank answered."""

    pulse: Pulse
    text: str
    """Its threads with their stacks, and those of its data loaders; ``""`` where it did not answer."""
    why_silent: str = ""


def dump_stacks(attempt: Attempt, reason: str) -> list[RankStack]:
    """Ask every rank of a live attempt for its stacks, which also stay in its folder; by rank."""
    attempt.stacks_path.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    return [_ask(attempt, pulse, reason) for pulse in read_pulses(attempt.path) if pulse.status()]


def _ask(attempt: Attempt, pulse: Pulse, reason: str) -> RankStack:
    path = attempt.stacks_path_of(pulse.rank)
    text = _dump(path, pulse.pid, pulse.start_ticks, f"rank {pulse.rank}, {_standing(pulse)}, {reason}")
    if not text:
        status = pulse.status() or ""
        why = f"process {pulse.pid} did not answer: it is {STATES.get(status, 'busy or has just begun')}"
        return RankStack(pulse, "", why)
    for pid in _children(pulse.pid)[:MOST_CHILDREN]:
        found = start_ticks_and_status(pid)
        answer = _dump(path, pid, found[0], f"process {pid} of rank {pulse.rank}") if found else ""
        text += f"\n\nIts process {pid}:\n{answer}" if answer else ""
    return RankStack(pulse, text)


def _standing(pulse: Pulse) -> str:
    return f"process {pulse.pid}, phase {pulse.phase}, step {pulse.step}, batch {pulse.batches}"


def _dump(path: Path, pid: int, start_ticks: int, what: str) -> str:
    """Return the dump of one process, ``""`` where it gives none."""
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return ""
    try:
        found = start_ticks_and_status(pid)
        if not found or found[0] != start_ticks or not _catches(pid, STACKS_SIGNAL):
            return ""
        size = _mark(path, what)
        signal.pidfd_send_signal(process, STACKS_SIGNAL)
        return _answer(path, size)
    except OSError:
        return ""
    finally:
        os.close(process)


def _mark(path: Path, what: str) -> int:
    """Write the line before a dump, and return the size of the file behind it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        os.write(descriptor, f"{MARK}{now}, {what}\n".encode())
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _answer(path: Path, size: int) -> str:
    """Return what is behind ``size`` once it grows no longer."""
    deadline = time.monotonic() + ANSWER_SECONDS
    before = size
    while time.monotonic() < deadline:
        time.sleep(0.05)
        if (now := path.stat().st_size) == before and now > size:
            dump = latest_dump(path.read_text(errors="replace"))
            return dump.text if dump else ""
        before = now
    return ""


def _catches(pid: int, number: signal.Signals) -> bool:
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def _children(pid: int) -> list[int]:
    with suppress(OSError, ValueError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
