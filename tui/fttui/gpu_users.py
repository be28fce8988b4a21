"""Whose the processes on a GPU are: the run, rank and step behind each, or a stranger's program."""

import os
import pwd
from pathlib import Path
from typing import NamedTuple

from fttui_engine.runs.logs import one_line
from fttui_engine.runs.run import Run

MOST_COMMAND_BYTES = 400


class Owner(NamedTuple):
    """The run behind a process; all None for a process that is not ours or cannot be looked into."""

    run: str | None = None
    rank: int | None = None
    step: int | None = None


def owner_of(pid: int) -> Owner:
    """The run, rank and step behind a process, from the environment that every process of a run carries."""
    try:
        # The kernel cuts nothing off here; one's own processes only can be read.
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return Owner()
    pairs = (variable.partition(b"=") for variable in content.split(b"\0"))
    environment = {os.fsdecode(name): os.fsdecode(text) for name, _, text in pairs}
    folder = environment.get("FTTUI_RUN_DIR")
    if not folder or not environment.get("FTTUI_RUN"):
        return Owner()
    its_run = Run(Path(folder))
    progress = its_run.attempt(its_run.latest_attempt_number()).read_progress()
    rank = environment.get("RANK", "0")
    return Owner(
        environment["FTTUI_RUN"], int(rank) if rank.isdecimal() else None, progress and progress.step
    )


def account_of(pid: int) -> str:
    """The name of the user that a process belongs to; empty where there is no such process here."""
    try:
        number = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def command_of(pid: int) -> str:
    """The command line of a process as one harmless line; empty where it cannot be seen."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            content = file.read(MOST_COMMAND_BYTES)
    except OSError:
        return ""
    return one_line(content.replace(b"\0", b" ").decode("utf-8", "replace")).strip()
