"""Finding out how an attempt's process ended, from whoever saw it: its keeper, this process, the kernel."""

import os
import time
from collections import deque
from pathlib import Path

from fttui_engine.runs.attempt import Attempt, Exit
from fttui_engine.runs.files import read_json_or_none
from fttui_engine.runs.identity import ProcessIdentity, boot_id, identity_from_json, pid_namespace
from fttui_engine.runs.run import Run
from fttui_engine.supervise.pidfd import ProcessWatch, zombie_status

WITNESS_SECONDS = 1.0
"""How long the kernel may take to tell an exit status: not before init has collected the process."""

KEEPER_SECONDS = 15.0
"""How long the keeper that started the process may take to write its exit status: a busy disk syncs that slowly."""

OOM_SAMPLE_SECONDS = 5.0


def recorded_keeper(run: Run) -> ProcessIdentity | None:
    """Return the identity of the keeper in charge of a run, or last in charge of it."""
    return identity_from_json((read_json_or_none(run.keeper_path) or {}).get("keeper"))


def recorded_process(run: Run, attempt: Attempt) -> ProcessIdentity | None:
    """Return the identity of an attempt's process; ``None`` while it has none."""
    keeper = read_json_or_none(run.keeper_path) or {}
    if keeper.get("attempt") != attempt.number:
        return None
    return identity_from_json(keeper.get("process"))


def await_exit(run: Run, attempt: Attempt, watch: ProcessWatch | None, started_at: float) -> Exit | None:
    """Return how the ended process ended, ``None`` where nobody saw it."""
    started = time.monotonic()
    while True:
        ended, patience = attempt.read_exit(), KEEPER_SECONDS
        if not ended and not _keeper_will_tell(run, attempt):
            ended, patience = witnessed_exit(run, attempt, watch, started_at), WITNESS_SECONDS
        if ended or what_restarted(run, attempt) or time.monotonic() - started > patience:
            return ended
        time.sleep(0.02)


def witnessed_exit(run: Run, attempt: Attempt, watch: ProcessWatch | None, started_at: float) -> Exit | None:
    """Return and record the exit status that can be seen from here, where the keeper that should have was killed."""
    process = recorded_process(run, attempt)
    status = watch.exit_status() if watch else None
    if status is None and process:
        status = zombie_status(process)
    if status is None or process is None or attempt.read_exit():
        return None
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    ended = Exit(process.pid, code, number, started_at, time.time())
    attempt.write_exit(ended)
    return ended


def what_restarted(run: Run, attempt: Attempt) -> str:
    """Return ``host`` or ``container`` where the attempt's dead process belongs to an earlier life of it, else ``""``."""
    identity = recorded_process(run, attempt)
    if identity is None:
        return ""
    if identity.boot_id != boot_id():
        return "host"
    return "container" if identity.pid_namespace != pid_namespace() else ""


def _keeper_will_tell(run: Run, attempt: Attempt) -> bool:
    """Whether the keeper is the process's parent: one that took over later is younger than it and never will know."""
    keeper, process = recorded_keeper(run), recorded_process(run, attempt)
    if keeper is None or process is None or not keeper.is_alive:
        return False
    return keeper.start_ticks <= process.start_ticks


class OomWatch:
    """Counts what the kernel's out-of-memory killer ended on this host lately.

    Lately, because a host that trains for a week has seen some: only one within seconds of the end explains it.
    """

    def __init__(self) -> None:
        self._counts = deque([_oom_kills()], maxlen=2)
        self._next_sample = time.monotonic() + OOM_SAMPLE_SECONDS

    def sample(self) -> None:
        """Note the present count, now and then."""
        if time.monotonic() >= self._next_sample:
            self._counts.append(_oom_kills())
            self._next_sample = time.monotonic() + OOM_SAMPLE_SECONDS

    def recent_kills(self) -> int:
        """Return how many there were in the last 5 to 10 seconds."""
        return _oom_kills() - self._counts[0]


def _oom_kills() -> int:
    """Return how many processes this host's kernel has ended for want of memory since it booted."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0
