"""Looking at Slurm's queue for all viewers at once: at most every 10 s, whatever their number."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from fttui_engine.runs.home import PRIVATE_FILE, PRIVATE_FOLDER
from fttui_engine.runs.slurm_job import GONE, OVER, Sight, Sights, read_sights, sights_path, write_sights
from fttui_engine.slurm.programs import SlurmError, my_jobs

EVERY_SECONDS = 10.0
REMEMBERED_SECONDS = 86400.0
"""How long a job that ended is kept in the cache."""


def look(home: Path, job_id: str) -> Sights:
    """Return what Slurm says of the user's jobs, asked anew where the last answer is old; ``job_id`` is listed in any
    case once Slurm has answered, as gone where it does not know it.

    Never raises: what cannot be asked or written leaves the last answer, with why.
    """
    before = read_sights(home)
    if _is_fresh(before, job_id):
        return before
    sights_path(home).parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    descriptor = os.open(
        sights_path(home).with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE
    )
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return before  # another viewer asks at this moment
        except OSError:
            pass  # no locks on this file system: two may ask at once
        before = read_sights(home)
        if _is_fresh(before, job_id):
            return before
        sights = _ask(before, job_id)
        with suppress(OSError):  # a full disk: the next look asks again
            write_sights(home, sights)
        return sights
    finally:
        os.close(descriptor)


def _is_fresh(sights: Sights, job_id: str) -> bool:
    # A moment in the future is a clock that was set back.
    is_new = 0.0 <= time.time() - sights.asked_at < EVERY_SECONDS
    return is_new and (bool(sights.error) or job_id in sights.jobs)


def _ask(before: Sights, job_id: str) -> Sights:
    now = time.time()
    try:
        lines = my_jobs()
    except SlurmError as error:
        return before._replace(asked_at=now, error=error.message)
    jobs = {
        key: sight
        for key, sight in before.jobs.items()
        if sight.state not in OVER or now - sight.since < REMEMBERED_SECONDS
    }
    known = {line.job_id for line in lines}
    for key in {*jobs, job_id} - known:
        if key not in jobs or jobs[key].state not in OVER:
            jobs[key] = Sight(GONE, "", "", None, now)
    for line in lines:
        last = jobs.get(line.job_id)
        since = last.since if last and last.state == line.state else now
        jobs[line.job_id] = Sight(line.state, line.reason, line.nodes, line.start_at, since)
    return Sights(jobs, now, now)
