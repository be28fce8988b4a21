"""Slurm's programs as subprocesses, each with a deadline and nothing of the user's environment but what it needs.

What sbatch finds in its environment is kept by slurmctld and given to the job, tokens included; so it finds nothing.
Texts and no JSON: the form of ``--json`` changes with Slurm's releases, ``-o`` has not for ten years.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from fttui_engine.errors import FttuiError
from fttui_engine.runs.logs import one_line

LOOK_SECONDS = 4.0
SUBMIT_SECONDS = 60.0
"""slurmctld may be busy for tens of seconds; a job that was submitted and not noted would run unseen."""

_NEEDED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "SLURM_CONF")
_DEFAULTS = tuple(
    f"SBATCH_{name}" for name in ("ACCOUNT", "PARTITION", "QOS", "RESERVATION", "CONSTRAINT", "CLUSTERS")
)
"""What people set in their shell's start-up file so as not to repeat it in each script."""

_COLUMNS = "%i|%T|%S|%N|%r"  # the reason last, since it alone may hold any character


class SlurmError(FttuiError):
    """Slurm refused something, or could not be asked."""


class SlurmSilentError(SlurmError):
    """Slurm could not be asked: its programs are missing, or slurmctld does not answer."""


class JobLine(NamedTuple):
    """One job as squeue shows it."""

    job_id: str
    state: str
    start_at: float | None
    nodes: str
    reason: str


def submit(script: Path, settings: dict[str, object]) -> str:
    """Submit a batch script and return the id of its job; raises SlurmError with Slurm's own words."""
    # A default of the user's shell would win over the script, which says what the configuration says.
    left_out = [f"SBATCH_{key.upper()}" for key in ("account", "partition") if settings.get(key)]
    environment = {**_environment(), **_given(name for name in _DEFAULTS if name not in left_out)}
    said = _run(["sbatch", "--parsable", "--export=ALL", str(script)], SUBMIT_SECONDS, environment)
    job_id = said.strip().splitlines()[-1].partition(";")[0] if said.strip() else ""
    if not job_id.isdigit():
        raise SlurmError(f"sbatch gave no job id but: {one_line(said)[:200]}", "squeue --me shows your jobs")
    return job_id


def require_sbatch() -> None:
    """Raise SlurmSilentError where nothing can be submitted from this host."""
    if shutil.which("sbatch") is None:
        raise _missing("sbatch")


def cancel(job_id: str) -> None:
    """Cancel a job: Slurm sends SIGTERM, and SIGKILL after its KillWait."""
    _run(["scancel", job_id], LOOK_SECONDS * 2)


def requeue(job_id: str) -> None:
    """Put a running job back into the queue; raises SlurmError where it may not go there."""
    _run(["scontrol", "requeue", job_id], SUBMIT_SECONDS)


def my_jobs() -> list[JobLine]:
    """Return the jobs of this user that Slurm knows, also those that ended a moment ago."""
    return _lines(_run(["squeue", "-h", "--me", "-t", "all", "-o", _COLUMNS], LOOK_SECONDS))


def find_job(job_id: str) -> JobLine | None:
    """Return one job, ``None`` where Slurm does not know it any more."""
    try:
        found = _lines(_run(["squeue", "-h", "-t", "all", "-j", job_id, "-o", _COLUMNS], LOOK_SECONDS))
    except SlurmSilentError:
        raise
    except SlurmError as error:
        if "Invalid job id" in error.message:
            return None
        raise
    return next((line for line in found if line.job_id == job_id), None)


def _lines(text: str) -> list[JobLine]:
    found = []
    for line in text.splitlines():
        parts = one_line(line).split("|", 4)
        if len(parts) == 5:
            job_id, state, start, nodes, reason = parts
            found.append(JobLine(job_id, state, _moment(start), nodes, reason.strip("()")))
    return found


def _moment(text: str) -> float | None:
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
    except (ValueError, OverflowError):
        return None  # "N/A": nobody knows yet


def _environment() -> dict[str, str]:
    return _given(_NEEDED)


def _given(names: object) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}  # type: ignore[attr-defined]


def _run(argv: list[str], seconds: float, environment: dict[str, str] | None = None) -> str:
    """Return what a program printed; raises SlurmError with what it complained about."""
    try:
        done = subprocess.run(
            argv,
            env=environment or _environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise _missing(argv[0]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmSilentError(
            f"{argv[0]} did not answer within {seconds:.0f} s", "scontrol ping says whether Slurm is there"
        ) from error
    if done.returncode == 0:
        return done.stdout.decode(errors="replace")
    words = one_line(done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}")[:400]
    for prefix in (f"{argv[0]}: error: ", "slurm_load_jobs error: "):
        words = words.replace(prefix, "")
    if any(sign in words for sign in ("Unable to contact", "Socket timed out", "Connection refused")):
        raise SlurmSilentError(f"{argv[0]}: {words}", "scontrol ping says whether Slurm is there")
    raise SlurmError(f"{argv[0]} refused: {words}", "sinfo shows partitions and limits")


def _missing(program: str) -> SlurmSilentError:
    return SlurmSilentError(
        f"there is no {program} on this host",
        "run.launcher: slurm needs a login node of a cluster; leave it out to train on this machine",
    )
