"""The batch script of a run: what Slurm is asked for, and one command."""

import shlex
import sys
from pathlib import Path

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.run import Run

SIGNAL_SECONDS = 240
"""How long before its time limit a job is told of it: a grace period of 60 s, a save, and that Slurm looks at limits
every half a minute and may be early by a minute (measured: 2 to 20 s)."""


def batch_script(run: Run, settings: dict[str, object], program: Path) -> str:
    """Return the script that runs ``program`` with the run's folder; no value reaches the shell unquoted, and none of the environment is in it."""
    options = [
        f"--job-name={run.id}",
        f"--output={_pattern(run.slurm_log_path)}",
        "--open-mode=append",
        "--requeue",
        f"--signal=B:USR1@{settings.get('signal_seconds') or SIGNAL_SECONDS}",
        f"--nodes={settings.get('nodes') or 1}",
        "--ntasks-per-node=1",
    ]
    for key in ("account", "partition", "time", "gres"):
        if value := settings.get(key):
            options.append(f"--{key}={value}")
    lines = ["#!/bin/sh", *(f"#SBATCH {shlex.quote(option)}" for option in options)]
    lines += [f"#SBATCH {line}" for line in _extra(settings)]
    command = [sys.executable, "-P", str(program), str(run.path)]
    lines.append(f"exec {' '.join(shlex.quote(_plain(word)) for word in command)}")
    return "\n".join(lines) + "\n"


def _extra(settings: dict[str, object]) -> list[str]:
    extra = settings.get("extra")
    return [_plain(str(line)) for line in extra] if isinstance(extra, list) else []


def _pattern(path: Path) -> str:
    """Return a path as sbatch takes file names: in those ``%`` begins a replacement."""
    return _plain(str(path)).replace("%", "%%")


def _plain(text: str) -> str:
    """Return ``text`` if it can stand on a line of a script, and in the names that sbatch expands."""
    if any(character in text for character in "\n\r\0\\"):
        raise WrongRequestError(
            f"{text!r} holds a line break or a backslash, which a batch script cannot carry",
            "use a folder without them: FTTUI_HOME chooses it",
        )
    return text
