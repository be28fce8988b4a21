"""The pulse of each rank: a line of fixed length that says how often it has got on, overwritten in place.

Not a file that is replaced, as ``progress.json`` is: it is written after each batch, and costs 1.8 us of CPU. Not mapped
memory either: a page that a full disk cannot back ends the process that touches it.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fttui_engine.runs.home import PRIVATE_FILE
from fttui_engine.runs.identity import start_ticks_and_status

_LENGTH = 128


class Pulse(NamedTuple):
    """How far one rank has got in its attempt."""

    rank: int
    pid: int
    start_ticks: int
    beats: int
    """Grows with everything that is done: a batch, a record, a phase."""
    step: int
    batches: int
    """Batches that it has begun to train on; of ranks in step, the one with fewer is behind."""
    step_seconds: float
    """The median of the recent steps, 0 before the second."""
    phase: str

    def status(self) -> str | None:
        """Return the letter of its process's state (R, S, D, T, ...), ``None`` where that process is gone."""
        found = start_ticks_and_status(self.pid)
        return found[1] if found and found[0] == self.start_ticks and found[1] not in "ZX" else None


class PulseWriter:
    """Writes the pulse of this process; a disk that cannot take it is no reason to end a training."""

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        with suppress(OSError):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        pid = os.getpid()
        ticks, _ = start_ticks_and_status(pid) or (0, "")
        self._who = f"{pid} {ticks}"
        self._beats = self._step = self._batches = 0
        self._step_seconds = 0.0
        self._phase = "loading"
        self.beat()

    def beat(self) -> None:
        """Say that something was done."""
        self._beats += 1
        if self._descriptor < 0:
            return
        counts = f"{self._beats} {self._step} {self._batches} {self._step_seconds:.3f}"
        line = f"{self._who} {counts} {self._phase}".ljust(_LENGTH - 1) + "\n"
        with suppress(OSError):
            os.pwrite(self._descriptor, line.encode(), 0)

    def phase(self, phase: str) -> None:
        """Say what is done now."""
        self._phase = phase
        self.beat()

    def batch(self) -> None:
        """Say that a batch is trained on from now on."""
        self._batches += 1
        self.beat()

    def stepped(self, step: int, step_seconds: float) -> None:
        """Say that an optimizer step is done."""
        self._step, self._step_seconds, self._phase = step, step_seconds, "train"
        self.beat()


def read_pulses(attempt_path: Path) -> list[Pulse]:
    """Return the pulses of an attempt's ranks by rank; one that is torn by a write under way is left out."""
    try:
        names = [name for name in os.listdir(attempt_path) if name.startswith("pulse.rank")]
    except OSError:
        return []
    found = [_read(attempt_path / name, name.removeprefix("pulse.rank")) for name in names]
    return sorted(pulse for pulse in found if pulse)


def _read(path: Path, rank: str) -> Pulse | None:
    try:
        with path.open("rb") as file:
            text = file.read(_LENGTH)
        if len(text) != _LENGTH or not text.isascii():
            return None
        pid, ticks, beats, step, batches, seconds, phase = text.decode().split()
        counts = (int(rank), int(pid), int(ticks), int(beats), int(step), int(batches))
        step_seconds = float(seconds)
    except (OSError, ValueError):
        return None
    # A file that somebody else wrote: neither negative, nor infinite, nor nan.
    if min(counts) < 0 or not 0 <= step_seconds < 1e9:
        return None
    return Pulse(*counts, step_seconds, phase)
