"""Who is in charge of a run, and putting somebody in charge where nobody is."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from fttui_engine.errors import FttuiError
from fttui_engine.runs.files import read_json_or_none
from fttui_engine.runs.identity import (
    Liveness,
    boot_id,
    identify_self,
    identity_from_json,
    pid_namespace,
)
from fttui_engine.runs.journal import ExitVerdict, Journal, read_state
from fttui_engine.runs.lifetime import liveness_of
from fttui_engine.runs.lock import charge_lock
from fttui_engine.runs.run import Run, all_runs, delete_stale_folders
from fttui_engine.runs.states import State
from fttui_engine.supervise.evidence import recorded_process
from fttui_engine.supervise.spawn import spawn_keeper

LOOKING_SECONDS = 1.0
"""How long somebody who only looks waits for another who is changing the run."""

SETTLING_SECONDS = 5.0
"""How long whoever adopts a run waits for its new supervisor."""


def reconcile(home: Path, runs: Iterable[Run] | None = None) -> list[str]:
    """Adopt every live run of this host that nobody is in charge of; return a sentence for each.

    Also clears away what starts and deletions that were killed have left behind. ``runs`` are those that may be live,
    where the caller knows.
    """
    delete_stale_folders(home)
    runs = all_runs(home) if runs is None else runs
    return [f"{run.id}: {said}" for run in runs if (said := look_after(run))]


def look_after(run: Run) -> str:
    """Adopt a run if need be; where that fails say so, since whoever only looks is to see the others all the same."""
    try:
        return adopt(run, LOOKING_SECONDS)
    except FttuiError as error:
        return f"cannot be adopted: {error.message}"
    except OSError as error:
        return f"cannot be adopted: {error.filename or run.path}: {error.strerror}"


def adopt(run: Run, lock_seconds: float = 10.0) -> str:
    """Put a keeper in charge of a live run that lost keeper and supervisor; say so, or return ``""``.

    What became of its attempt meanwhile (still training, ended, never started, gone with a reboot) is for the new
    supervisor to find out; this waits until it has.
    """
    if not read_state(run).state.is_live:
        return ""
    if run.slurm_path.exists():
        from fttui_engine.supervise.slurm_queue import close_if_gone

        return close_if_gone(run, lock_seconds)
    if in_charge(run) is not Liveness.DEAD:
        return ""
    with charge_lock(run, lock_seconds):
        if not read_state(run).state.is_live or in_charge(run) is not Liveness.DEAD:
            return ""
        journal = Journal(run)
        if restarted := _restarted_before_it_began(run):
            message = f"The {restarted} was restarted before the attempt had begun."
            verdict = ExitVerdict("reboot", None, None, message, f"fttui resume {run.id} starts it")
            journal.move(State.INTERRUPTED, "interrupted", message, exit=verdict, ended_at=time.time())
            return message
        journal.note(
            "adopted", f"Keeper and supervisor were gone; process {os.getpid()} put new ones in place."
        )
        spawn_keeper(run)
    deadline = time.monotonic() + SETTLING_SECONDS
    while read_state(run).state.is_live and not _is_settled(run) and time.monotonic() < deadline:
        time.sleep(0.02)
    return f"adopted; it is {read_state(run).state}"


def _is_settled(run: Run) -> bool:
    """Whether a supervisor is there and has nothing to judge: the attempt lives, or has not begun."""
    process = recorded_process(run, run.attempt(read_state(run).attempt))
    return _supervisor_is_alive(run) and (process is None or process.is_alive)


def _restarted_before_it_began(run: Run) -> str:
    """Return what was restarted, ``host`` or ``container``, while the present attempt had no process yet; else ``""``."""
    value = read_json_or_none(run.keeper_path) or {}
    keeper = identity_from_json(value.get("keeper"))
    if read_state(run).state is State.QUEUED:
        return ""  # it waited, and waits on
    if keeper is None or value.get("attempt") == read_state(run).attempt:
        return ""
    if keeper.boot_id != boot_id():
        return "host"
    return "container" if keeper.pid_namespace != pid_namespace() else ""


def in_charge(run: Run) -> Liveness:
    """Say whether somebody is in charge of a run: its keeper, else a supervisor about to replace the keeper."""
    keeper = identity_from_json((read_json_or_none(run.keeper_path) or {}).get("keeper"))
    found = liveness_of(keeper, run.keeper_lock_path) if keeper else Liveness.DEAD
    if found is Liveness.DEAD and _supervisor_is_alive(run):
        return Liveness.ALIVE
    return found


def _supervisor_is_alive(run: Run) -> bool:
    supervisor = identity_from_json((read_json_or_none(run.lease_path) or {}).get("supervisor"))
    return supervisor is not None and supervisor != identify_self() and supervisor.is_alive
