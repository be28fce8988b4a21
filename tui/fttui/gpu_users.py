"""Whose the processes on a GPU are: the run, rank and step behind each, or a stranger's program."""

import os
import pwd
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fttui_engine.hardware.gpu import Gpu, GpuProcess
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.run import Run

MOST_COMMAND_BYTES = 400


class Owner(NamedTuple):
    """The run behind a process; all None for a process that is not ours or cannot be looked into."""

    run: str | None = None
    rank: int | None = None
    step: int | None = None


class GpuUser(NamedTuple):
    """Who a process on a GPU belongs to, as of now."""

    owner: Owner = Owner()
    account: str = ""
    command: str = ""


class _Known(NamedTuple):
    """What does not change in the life of a process."""

    started: bytes
    folder: Path | None
    user: GpuUser


class GpuUsers:
    """Looks processes up in /proc; what cannot change is looked up once per process."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def look(self, gpus: Iterable[Gpu]) -> dict[int, GpuUser]:
        """The user behind each process on these GPUs, by pid."""
        pids = {each.pid for gpu in gpus for each in processes_of(gpu)}
        self._known = {pid: self._find(pid) for pid in pids}
        return {pid: _as_of_now(known) for pid, known in self._known.items()}

    def _find(self, pid: int) -> _Known:
        started = _start_ticks(pid)
        known = self._known.get(pid)
        # A pid may have become another process's.
        return known if known and known.started == started and started else _identify(pid, started)


def processes_of(gpu: Gpu) -> tuple[GpuProcess, ...]:
    """The processes on a GPU and on its instances, each once: some drivers tell those of instances twice."""
    parts = (gpu.processes, *(instance.processes for instance in gpu.instances))
    found = {each.pid: each for processes in parts for each in processes}
    return tuple(found.values())


def _identify(pid: int, started: bytes) -> _Known:
    variables = _variables(pid)
    folder, run = variables.get("FTTUI_RUN_DIR"), variables.get("FTTUI_RUN")
    owner = Owner()
    if folder and run:
        rank = variables.get("RANK", "0")
        owner = Owner(one_line(run), int(rank) if rank.isascii() and rank.isdecimal() else None)
    user = GpuUser(owner, _account_of(pid), _command_of(pid))
    return _Known(started, Path(folder) if folder and owner.run else None, user)


def _as_of_now(known: _Known) -> GpuUser:
    if known.folder is None:
        return known.user
    its_run = Run(known.folder)
    progress = its_run.attempt(its_run.latest_attempt_number()).read_progress()
    step = progress.step if progress and isinstance(progress.step, int) else None
    return known.user._replace(owner=known.user.owner._replace(step=step))


def _variables(pid: int) -> dict[str, str]:
    try:
        # The kernel cuts nothing off here; one's own processes only can be read.
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (variable.partition(b"=") for variable in content.split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(text) for name, _, text in pairs}


def _start_ticks(pid: int) -> bytes:
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return b""
    return fields[19] if len(fields) > 19 else b""


def _account_of(pid: int) -> str:
    """The name of the user that a process belongs to; empty where there is no such process here."""
    try:
        number = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return ""
    try:
        return one_line(pwd.getpwuid(number).pw_name)
    except KeyError:
        return str(number)


def _command_of(pid: int) -> str:
    """The command line of a process as one harmless line; empty where it cannot be seen."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            content = file.read(MOST_COMMAND_BYTES)
    except OSError:
        return ""
    return one_line(content.replace(b"\0", b" ").decode("utf-8", "replace")).strip()
