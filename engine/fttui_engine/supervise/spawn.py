"""Putting a keeper in place: the only way in which anything of a run ever starts."""

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fttui_engine.errors import FttuiError
from fttui_engine.runs.files import read_json_or_none
from fttui_engine.runs.identity import identity_from_json
from fttui_engine.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEEPER = Path(__file__).with_name("keeper_process.py")


def spawn_keeper(run: Run, attempt_number: int | None = None, leases: "Sequence[int]" = ()) -> None:
    """Start a detached keeper and return once ``keeper.json`` names it; the caller holds the run's charge lock.

    With ``attempt_number`` the keeper starts that attempt at once; without, it starts what its supervisor decides.
    The keeper inherits ``leases``, descriptors that the caller closes.
    posix_spawn, because the caller may be a screen with threads: forking such a process can deadlock the child.
    """
    what = ["serve"] if attempt_number is None else ["start", str(attempt_number)]
    environment = {
        key: value for key, value in os.environ.items() if key not in ("FTTUI_ATTEMPT", "FTTUI_KEEPER_FD")
    }
    environment |= {"FTTUI_RUN": run.id, "FTTUI_RUN_DIR": str(run.path), "FTTUI_ROLE": "keeper"}
    # Copied in the child, and to numbers beyond theirs: made inheritable here, other threads' children would have them.
    copies = {max(leases) + 1 + place: lease for place, lease in enumerate(leases)} if leases else {}
    environment["FTTUI_LEASE_FDS"] = " ".join(map(str, copies))
    log_flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", str(_KEEPER), str(run.path), *what],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(run.supervisor_log_path), log_flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            *((os.POSIX_SPAWN_DUP2, lease, copy) for copy, lease in copies.items()),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGCHLD],
    )
    try:
        _, status = os.waitpid(pid, 0)
    except KeyboardInterrupt:
        os.waitpid(pid, 0)  # milliseconds; whoever cleans up has to know whether a keeper stands
        raise
    if status != 0:
        from fttui_engine.runs.logs import tail

        words = " / ".join(tail(run.supervisor_log_path, 3)) or "none"
        raise FttuiError(f"the keeper of {run.id} did not start", f"its last words: {words}")


def keeper_is_alive(run: Run) -> bool:
    """Whether the keeper on record runs, on this host."""
    value = read_json_or_none(run.keeper_path) or {}
    identity = identity_from_json(value.get("keeper"))
    return identity is not None and identity.is_alive
