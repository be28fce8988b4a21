"""What a run has to do with Slurm: its job (``slurm.json``), and what Slurm last said of it (a cache for all runs).

``slurm.json`` is written by whoever submits the job and by the job itself, both under the run's lock. The cache is
written by whoever looks, for every viewer: asking costs slurmctld something, and it may not answer at all.
"""

import time
from pathlib import Path
from typing import NamedTuple

from fttui_engine.runs.files import (
    SCHEMA,
    DamagedFileError,
    Json,
    finite_number,
    moment,
    read_json_or_none,
    whole_number,
    write_json,
)
from fttui_engine.runs.home import PRIVATE_FOLDER

PENDING = "PENDING"
GONE = "GONE"
"""Our word for a job that Slurm no longer knows: squeue forgets one 5 minutes after its end (MinJobAge)."""
OVER = frozenset(
    f"{GONE} BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED TIMEOUT".split()
)
"""The states of a job in which none of its processes is left; a job that is requeued leaves them for PENDING."""

REASONS = {
    "None": "",
    "Priority": "other jobs come first",
    "Resources": "no free resources yet",
    "BeginTime": "Slurm lets a requeued job rest, 2 minutes unless its administrator says otherwise",
    "JobHeldUser": "held by its user: scontrol release",
    "JobHeldAdmin": "held by an administrator",
    "Dependency": "waits for another job",
    "QOSMaxJobsPerUserLimit": "you have as many jobs running as your QOS allows",
    "AssocGrpGRES": "your account has all the GPUs that it may have",
    "QOSGrpGRES": "your QOS has all the GPUs that it may have",
    "PartitionTimeLimit": "run.slurm.time is longer than the partition allows, so it will never start",
    "ReqNodeNotAvail": "the nodes it needs are down or reserved",
}


class SlurmJob(NamedTuple):
    """A run's job; ``job_id`` is ``""`` until Slurm has given one."""

    job_id: str
    settings: Json
    """The ``run.slurm`` block, with what follows from other keys."""
    submitted_at: float
    restarts: int = 0
    """How often Slurm has started the job again: with ``job_id`` it says which of its lives is in charge."""
    node: str = ""
    """Where it runs, or ran last."""


class Sight(NamedTuple):
    """What Slurm said of one job."""

    state: str
    reason: str
    nodes: str
    start_at: float | None
    """When it is expected to start, or did."""
    since: float
    """When this state was first seen."""


class Sights(NamedTuple):
    """What Slurm said of all jobs of the user."""

    jobs: dict[str, Sight]
    asked_at: float = 0.0
    answered_at: float = 0.0
    error: str = ""
    """Why the last question was not answered."""


def write_slurm_job(path: Path, job: SlurmJob) -> None:
    """Record a run's job."""
    write_json(path, {"schema": SCHEMA, **job._asdict()})


def read_slurm_job(path: Path) -> SlurmJob | None:
    """Return a run's job, ``None`` for a run that has none; what is damaged has its default."""
    value = read_json_or_none(path)
    if value is None:
        return None
    settings = value.get("settings")
    return SlurmJob(
        str(value.get("job_id") or ""),
        settings if isinstance(settings, dict) else {},
        moment(value.get("submitted_at")) or 0.0,
        whole_number(value.get("restarts")) or 0,
        str(value.get("node") or ""),
    )


def require_slurm_job(path: Path) -> SlurmJob:
    """Return a run's job; raises DamagedFileError where there is none."""
    if (job := read_slurm_job(path)) is None:
        raise DamagedFileError(f"{path} is damaged or missing: nobody knows how to submit this run")
    return job


def sights_path(home: Path) -> Path:
    """Return the file of a state folder that holds what Slurm last said."""
    return home / "cache" / "slurm-jobs.json"


def read_sights(home: Path) -> Sights:
    """Return what Slurm last said of all jobs; nothing where nobody has asked."""
    value = read_json_or_none(sights_path(home)) or {}
    jobs = value.get("jobs")
    return Sights(
        {str(key): _sight(item) for key, item in jobs.items() if isinstance(item, dict)}
        if isinstance(jobs, dict)
        else {},
        moment(value.get("asked_at")) or 0.0,
        moment(value.get("answered_at")) or 0.0,
        str(value.get("error") or ""),
    )


def write_sights(home: Path, sights: Sights) -> None:
    """Let every viewer know what Slurm said."""
    path = sights_path(home)
    path.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    jobs = {job_id: sight._asdict() for job_id, sight in sights.jobs.items()}
    write_json(path, {**sights._asdict(), "jobs": jobs}, durable=False)


def waiting_sentence(job: SlurmJob, sights: Sights, now: float) -> str:
    """Return what a run that waits in Slurm's queue waits for."""
    if not job.job_id:
        return "being submitted to Slurm"
    name, sight = f"Slurm job {job.job_id}", sights.jobs.get(job.job_id)
    words = f"{name} is in Slurm's queue"
    if sight and sight.state == PENDING:
        reason = REASONS.get(sight.reason, sight.reason)
        words = f"{name} waits" + (f": {reason}" if reason else "")
        if sight.start_at and sight.start_at > now:
            words += f"; expected to start {_clock(sight.start_at, now)}"
    elif sight and sight.state in OVER:
        words = f"{name} is {sight.state}"
    if sights.error and sights.answered_at:
        return f"{words} (seen {_ago(now - sights.answered_at)} ago; Slurm does not answer)"
    return f"{words} (Slurm does not answer)" if sights.error else words


def _sight(value: Json) -> Sight:
    return Sight(
        str(value.get("state") or GONE),
        str(value.get("reason") or ""),
        str(value.get("nodes") or ""),
        moment(value.get("start_at")),
        finite_number(value.get("since")) or 0.0,
    )


def _clock(at: float, now: float) -> str:
    then = time.localtime(at)
    return time.strftime("%H:%M" if then[:3] == time.localtime(now)[:3] else "%b %d %H:%M", then)


def _ago(seconds: float) -> str:
    if seconds < 90:
        return f"{max(0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"
