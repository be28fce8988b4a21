"""The faults that strike a run in several processes: each is one function, and leaves the mending to fttui.

Where only a person can say how to go on (a stopped run, one that was started again 20 times within a day), the person is
``go_on``: it looks at the run, as ``fttui ls`` does, and resumes it.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.errors import FttuiError
from fttui_engine.runs.checkpoints import list_checkpoints
from fttui_engine.runs.events import read_events
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.run import Run
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import summarize
from fttui_engine.supervise import control
from fttui_engine.supervise.adoption import reconcile

POLL_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 1.5
AIM_SECONDS = 60.0
FULL_DISK_SECONDS = 90.0
"""The next checkpoint, which is what notices a full disk, may be a restart away."""


class RankDeath(NamedTuple):
    """What followed on the SIGKILL of a rank while the run trained, in seconds since."""

    tree_empty: float
    """Until no rank and no launcher was left."""
    judged: float
    """Until the events said so."""
    next_attempt: float | None
    """Until the next attempt was started; ``None`` where a person had to."""


def fttui(environment: Mapping[str, str], *words: str) -> "subprocess.Popen[bytes]":
    """Start an fttui command as another viewer would."""
    quiet = subprocess.DEVNULL
    argv = [sys.executable, "-m", "fttui", *words]
    return subprocess.Popen(argv, env=dict(environment), stdin=quiet, stdout=quiet, stderr=quiet)


def processes_of(folder: Path, mark: bytes = b"FTTUI_RUN_DIR=") -> dict[int, bytes]:
    """Return the environments of the living processes that belong to runs below a folder."""
    found = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            environment = Path(f"/proc/{name}/environ").read_bytes()
            status = Path(f"/proc/{name}/stat").read_bytes().rpartition(b") ")[2][:1]
            if mark + os.fsencode(folder) in environment and status not in b"ZX":
                found[int(name)] = environment
    return found


class Storm:
    """One run, and the faults that strike it."""

    def __init__(self, run: Run, environment: Mapping[str, str], chance: random.Random) -> None:
        self.run, self.environment, self.chance = run, environment, chance
        self.resumes = 0
        self.deaths: list[RankDeath] = []

    def go_on(self) -> bool:
        """Look at the run as people do, and resume it where it has ended without having finished; False once it has."""
        reconcile(self.run.path.parents[1])
        state = read_state(self.run).state
        if state is State.FINISHED:
            return False
        if not state.is_live:
            # Another viewer may have been faster, and a keeper may still be on its way out.
            with suppress(FttuiError):
                control.resume(self.run)
                self.resumes += 1
        return True

    def ranks(self) -> list[int]:
        """Return the processes that train."""
        return sorted(pid for pid, environment in self._processes().items() if b"\0RANK=" in environment)

    def _processes(self) -> dict[int, bytes]:
        return processes_of(self.run.path)

    def _pid(self, role: str) -> int | None:
        summary = summarize(self.run)
        return {
            "launcher": summary.pid,
            "keeper": summary.keeper_pid,
            "supervisor": summary.supervisor_pid,
        }[role]

    def _aim(self, find: Callable[[], Any]) -> Any:
        """Return what is to be struck, as soon as it is there again after the fault before."""
        end = time.monotonic() + AIM_SECONDS
        while not (found := find()) and time.monotonic() < end and self.go_on():
            time.sleep(POLL_SECONDS)
        if not found:
            raise TimeoutError(f"{self.run.id} has nothing to strike: {read_state(self.run)}")
        return found

    def _send(self, number: int, *pids: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    # The faults.

    def kill_rank(self) -> None:
        """SIGKILL one rank, and take the time of what follows where it was training."""
        ranks = self._aim(self.ranks)
        trains = read_state(self.run).state is State.RUNNING
        before = len(read_events(self.run.events_path))
        self._send(signal.SIGKILL, self.chance.choice(ranks))
        if trains:
            self._time_the_death(before, time.time(), time.monotonic())

    def _time_the_death(self, events_before: int, killed_at: float, started: float) -> None:
        while time.monotonic() - started < 60:
            if not self.ranks() and self._pid("launcher") is None:
                break
            time.sleep(POLL_SECONDS)
        tree_empty = time.monotonic() - started
        while time.monotonic() - started < 60:
            later = read_events(self.run.events_path)[events_before:]
            times = {event.event: event.time - killed_at for event in reversed(later)}
            judged, started_at = times.get("restart_planned"), times.get("attempt_started")
            if judged is not None and started_at is not None:
                self.deaths.append(RankDeath(tree_empty, judged, started_at))
                return
            if "parked" in times:  # the restarts of a day are used up
                self.deaths.append(RankDeath(tree_empty, times["parked"], None))
                return
            time.sleep(POLL_SECONDS)

    def kill_launcher(self) -> None:
        """SIGKILL the process that the keeper started; its ranks are orphans."""
        self._send(signal.SIGKILL, self._aim(lambda: self._pid("launcher")))

    def kill_supervisor(self) -> None:
        """SIGKILL the supervisor."""
        self._send(signal.SIGKILL, self._aim(lambda: self._pid("supervisor")))

    def kill_keeper(self) -> None:
        """SIGKILL the keeper."""
        self._send(signal.SIGKILL, self._aim(lambda: self._pid("keeper")))

    def kill_keeper_and_supervisor(self) -> None:
        """SIGKILL both at once: nobody is in charge until somebody looks."""
        both = [self._aim(partial(self._pid, role)) for role in ("keeper", "supervisor")]
        self._send(signal.SIGSTOP, *both)
        self._send(signal.SIGKILL, *both)

    def pause(self) -> None:
        """SIGSTOP any process of the run, and SIGCONT it after a while."""
        pid = self.chance.choice(sorted(self._aim(self._processes)))
        self._send(signal.SIGSTOP, pid)
        time.sleep(self.chance.uniform(0.1, LONGEST_PAUSE_SECONDS))
        self._send(signal.SIGCONT, pid)

    def damage_checkpoint(self) -> None:
        """Tear, flip or delete a file of the newest checkpoint, and have it needed."""
        sealed = self._aim(
            lambda: [each.path for each in list_checkpoints(self.run.output_dir) if each.complete]
        )
        with suppress(OSError):  # pruned meanwhile
            self._damage(self.chance.choice(sorted(filter(Path.is_file, sealed[-1].iterdir()))))
        self.kill_launcher()

    def _damage(self, path: Path) -> None:
        size = path.stat().st_size
        how = self.chance.choice(["tear", "flip", "delete"]) if size else "delete"
        if how == "delete":
            path.unlink()
        elif how == "tear":
            os.truncate(path, self.chance.randrange(size))
        else:
            with path.open("r+b") as file:
                at = self.chance.randrange(size)
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ (1 << self.chance.randrange(8))]))

    def fill_disk(self) -> None:
        """Leave no byte free where checkpoints go, until the run waits for room."""
        other = self.run.output_dir / "other-program"
        with other.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(2**16)):
                pass
        end = time.monotonic() + FULL_DISK_SECONDS
        while "waits for room" not in read_state(self.run).detail and time.monotonic() < end:
            if not self.go_on():
                break
            time.sleep(0.1)
        other.unlink()

    def two_viewers(self) -> None:
        """Have two viewers press stop and resume again and again, at the same time."""
        words = ["stop", "resume", "stop"]
        for word in words:
            both = [fttui(self.environment, each, self.run.id) for each in (word, self.chance.choice(words))]
            for viewer in both:
                viewer.wait(120)


Fault = Callable[[Storm], None]

FAULTS: Mapping[str, Fault] = {
    "SIGKILL of a rank": Storm.kill_rank,
    "SIGKILL of the launcher": Storm.kill_launcher,
    "SIGKILL of the supervisor": Storm.kill_supervisor,
    "SIGKILL of the keeper": Storm.kill_keeper,
    "SIGKILL of keeper and supervisor": Storm.kill_keeper_and_supervisor,
    "SIGSTOP and SIGCONT": Storm.pause,
    "damaged checkpoint, and SIGKILL": Storm.damage_checkpoint,
    "full disk": Storm.fill_disk,
    "two viewers": Storm.two_viewers,
}


def drawn(count: int, chance: random.Random, kinds: Sequence[str]) -> list[str]:
    """Return so many faults in an order of chance; every kind comes once before any comes again."""
    names: list[str] = []
    while len(names) < count:
        names += chance.sample(sorted(kinds), len(kinds))
    return names[:count]
