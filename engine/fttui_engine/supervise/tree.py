"""Every process of a run, also those that daemonised, and ending them all."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fttui_engine.runs.files import read_json_or_none
from fttui_engine.runs.identity import identity_from_json
from fttui_engine.runs.run import Run

if TYPE_CHECKING:
    import psutil

FOLDER_MARK = b"FTTUI_RUN_DIR="

UNKILLABLE_SECONDS = 30.0
"""A process that outlives SIGKILL this long sits in the kernel (state D) and will not go before its I/O does."""


def run_processes(run: Run) -> list["psutil.Process"]:
    """Return the living processes of a run except its keeper and supervisor, the attempt's own process first.

    Three nets, because each has a hole: descendants of the attempt (misses what daemonised), descendants of the
    keeper, who adopts what daemonised (misses all once the keeper is dead), and the run's mark in the environment
    (misses what scrubbed it).
    """
    import psutil

    keeper_file = read_json_or_none(run.keeper_path) or {}
    keeper = identity_from_json(keeper_file.get("keeper"))
    attempt = identity_from_json(keeper_file.get("process"))
    children = _children()
    pids: dict[int, None] = {}
    for root in (attempt, keeper):
        if root is not None and root.is_alive:
            pids |= dict.fromkeys(_descendants(root.pid, children, run))
    marks = {f"FTTUI_RUN={run.id}".encode(), _folder_mark(run)}
    pids |= dict.fromkeys(pid for pid in psutil.pids() if pid not in pids and marks <= _environment(pid))
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return [process for process in found if _belongs(process)]


def _children() -> dict[int, list[int]]:
    """Return the children of every process of this host."""
    import psutil

    children: dict[int, list[int]] = {}
    for pid in psutil.pids():
        with suppress(OSError):
            status = Path(f"/proc/{pid}/stat").read_bytes()
            # Behind the program's name, which may itself hold spaces and parentheses: state, then parent.
            parent = int(status[status.rindex(b")") + 2 :].split(maxsplit=2)[1])
            children.setdefault(parent, []).append(pid)
    return children


def _descendants(root: int, children: dict[int, list[int]], run: Run) -> Iterator[int]:
    """Yield a process and its descendants, but nothing of another run: a run may start runs, which have keepers."""
    environment = _environment(root)
    if _folder_mark(run) not in environment and any(each.startswith(FOLDER_MARK) for each in environment):
        return
    yield root
    for child in children.get(root, []):
        yield from _descendants(child, children, run)


def _folder_mark(run: Run) -> bytes:
    return FOLDER_MARK + os.fsencode(run.path)


def kill_run(run: Run) -> list[int]:
    """End every process of a run with SIGKILL; return the pids of those that even that does not end.

    The attempt's own process goes first: a launcher would start lost ranks again. The hunt ends when it came back
    empty twice, because a process may fork while it is being hunted.
    """
    import psutil

    deadline = time.monotonic() + UNKILLABLE_SECONDS
    empty_rounds = 0
    while empty_rounds < 2:
        processes = run_processes(run)
        if processes and time.monotonic() > deadline:
            return [process.pid for process in processes]
        empty_rounds = 0 if processes else empty_rounds + 1
        for process in processes:
            signal_process(process, signal.SIGKILL)
        psutil.wait_procs(processes, timeout=0.05)
        if empty_rounds == 1:
            time.sleep(0.02)
    return []


def signal_process(process: "psutil.Process", number: signal.Signals) -> None:
    """Send a signal to exactly this process: psutil compares start times before it sends."""
    import psutil

    try:
        process.send_signal(number)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return


def _belongs(process: "psutil.Process") -> bool:
    """Whether a found process is the run's own work: alive, and neither keeper, supervisor nor the caller."""
    import psutil

    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
    except psutil.NoSuchProcess:
        return False
    return not {b"FTTUI_ROLE=keeper", b"FTTUI_ROLE=supervisor"} & _environment(process.pid)


def _environment(pid: int) -> set[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return set(file.read().split(b"\0"))
    except OSError:
        return set()
