"""A run of Slurm's from outside its job: submitting it, closing it when its job is gone, stopping it.

Invariants:

- No process of such a run is ever started here: its job does that, wherever Slurm puts it.
- A job acts only on a run that waits for it and names it in ``slurm.json``. A run that was stopped while it waited
  therefore stays stopped, also where scancel did not reach Slurm any more.
- A live run is closed from outside only when Slurm itself has said, some seconds ago, that its job is over.
"""

import os
import time
from pathlib import Path

from fttui_engine.errors import FttuiError, WrongRequestError
from fttui_engine.runs.commands import KILL, STOP, Answer, drop_command, read_answer, withdraw_command
from fttui_engine.runs.files import SCHEMA, read_json_or_none, write_json
from fttui_engine.runs.journal import ExitVerdict, Journal, read_state
from fttui_engine.runs.lock import charge_lock
from fttui_engine.runs.logs import one_line, tail
from fttui_engine.runs.run import Run
from fttui_engine.runs.slurm_job import (
    OVER,
    Sight,
    SlurmJob,
    read_slurm_job,
    require_slurm_job,
    write_slurm_job,
)
from fttui_engine.runs.states import State

SUBMITTED_SECONDS = 120.0
"""After this long a run without a job id was left by a submission that was killed."""
LAST_WORDS_SECONDS = 15.0
"""How long after a job's end its last words may still be on their way through a network disk."""
ANSWER_SECONDS = 60.0
"""How long a wish may take to be seen on the compute node: NFS looks at a folder anew after 30 to 60 s."""

_BATCH = Path(__file__).with_name("slurm_batch_process.py")

_NOT_CARRIED = (
    "SLURM_",
    "SBATCH_",
    "SSH_",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION",
    "DBUS_",
    "FTTUI_KEEPER_FD",
    "FTTUI_ATTEMPT",
)
_OF_THE_NODE = frozenset(
    [
        "TERM",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "TMUX",
        "TMUX_PANE",
        "STY",
        "WINDOWID",
        "COLUMNS",
        "LINES",
        "TMPDIR",
        "HOSTNAME",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
        "CUDA_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "GPU_DEVICE_ORDINAL",
    ]
)


def submit(run: Run) -> None:
    """Submit the job of a run that was just queued; the caller holds the run's charge lock.

    The environment goes with it as a file that only its user can read, and not as part of the job: what sbatch is
    given is kept by slurmctld and shown by scontrol.
    """
    from fttui_engine.slurm.programs import submit as sbatch
    from fttui_engine.slurm.script import batch_script

    settings = require_slurm_job(run.slurm_path).settings
    run.slurm_script_path.write_text(batch_script(run, settings, _BATCH))
    write_json(run.environment_path, {"schema": SCHEMA, "environment": _carried()})
    # Without an id first: one of an earlier job must not be taken for this one.
    job = SlurmJob("", settings, time.time())
    write_slurm_job(run.slurm_path, job)
    try:
        job_id = sbatch(run.slurm_script_path, settings)
    except FttuiError:
        forget_environment(run)
        raise
    write_slurm_job(run.slurm_path, job._replace(job_id=job_id))


def _carried() -> dict[str, str]:
    """Return the environment that the run is to have, less what belongs to this terminal and this host."""
    return {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(_NOT_CARRIED) and name not in _OF_THE_NODE
    }


def carried_environment(run: Run) -> dict[str, str]:
    """Return what ``submit`` has put down for the job."""
    found = (read_json_or_none(run.environment_path) or {}).get("environment")
    return {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}


def close_if_gone(run: Run, lock_seconds: float) -> str:
    """Close a live run whose job is over without having said so, and say it; ``""`` where there is nothing to do."""
    from fttui_engine.slurm.looks import look

    job = read_slurm_job(run.slurm_path)
    if job is None or not read_state(run).state.is_live:
        return ""
    if not job.job_id:
        if time.time() - job.submitted_at < SUBMITTED_SECONDS:
            return ""
        sight = None
    else:
        sight = look(run.home, job.job_id).jobs.get(job.job_id)
        if sight is None or sight.state not in OVER or time.time() - sight.since < LAST_WORDS_SECONDS:
            return ""
    with charge_lock(run, lock_seconds):
        if read_slurm_job(run.slurm_path) != job or not read_state(run).state.is_live:
            return ""
        journal = Journal(run)
        message = _what_happened(run, job, sight, journal.state.state)
        advice = f"fttui resume {run.id} submits it again"
        verdict = ExitVerdict("slurm", None, None, message, advice)
        state = State.STOPPED if journal.state.state is State.STOPPING else State.INTERRUPTED
        outcome = run.attempt(journal.state.attempt).read_outcome()
        if outcome and outcome.result == "finished":
            state, verdict = State.FINISHED, ExitVerdict("finished", None, None, outcome.message, "")
        journal.move(
            state, str(state), verdict.message, exit=verdict, ended_at=time.time(), stop_deadline=None
        )
        forget_environment(run)
    return verdict.message


def _what_happened(run: Run, job: SlurmJob, sight: Sight | None, state: State) -> str:
    if sight is None:
        return "It was never submitted to Slurm: whoever did so was killed over it."
    how = "is gone" if sight.state == "GONE" else f"ended: {sight.state}"
    where = f" on {sight.nodes or job.node}" if sight.nodes or job.node else ""
    message = f"Slurm job {job.job_id} {how}{where}."
    if state is not State.QUEUED or sight.state == "CANCELLED":
        return message
    words = next((line for line in reversed(tail(run.slurm_log_path, 3)) if line.strip()), "")
    said = f" Its last words: {one_line(words)[:300]}" if words else ""
    return f"{message} It ended before the run began on its node; is {run.path} on a disk that the nodes share?{said}"


def forget_environment(run: Run) -> None:
    """Delete the environment of a run that does not go on: tokens may be in it."""
    run.environment_path.unlink(missing_ok=True)


def stop_slurms(run: Run, *, now: bool) -> Answer:
    """Stop a run of Slurm's: cancel its job while it waits, else let it save and end, or with ``now`` end at once."""
    if answer := _stop_waiting(run):
        return answer
    command = drop_command(run, KILL if now else STOP)
    deadline = time.monotonic() + (ANSWER_SECONDS / 4 if now else ANSWER_SECONDS)
    while (answer := read_answer(run, command)) is None and time.monotonic() < deadline:
        if not read_state(run).state.is_live:
            break
        time.sleep(0.1)
    if answer is None and (not withdraw_command(run, command)):
        answer = read_answer(run, command)
    if answer is None:
        answer = _stop_waiting(run) or _without_answer(run, now=now)
    if not answer.accepted:
        raise WrongRequestError(f"{run.id}: {answer.message}")
    return answer


def _stop_waiting(run: Run) -> Answer | None:
    """Stop a run that waits in Slurm's queue; ``None`` for one that does not."""
    with charge_lock(run):
        if read_state(run).state is not State.QUEUED:
            return None
        # First the run, then the job: one that begins meanwhile finds a run that does not wait for it, and ends.
        verdict = ExitVerdict("stopped", None, None, "Stopped while it waited in Slurm's queue.", "")
        Journal(run).move(State.STOPPED, "stopped", verdict.message, exit=verdict, ended_at=time.time())
        forget_environment(run)
    job = require_slurm_job(run.slurm_path)
    try:
        _cancel(job)
    except FttuiError as error:
        return Answer(
            True, f"it is stopped, but its job is still there ({error.message}); it will end as it begins"
        )
    return Answer(True, f"Slurm job {job.job_id} is cancelled")


def _without_answer(run: Run, *, now: bool) -> Answer:
    if not read_state(run).state.is_live:
        raise WrongRequestError(f"{run.id} ended before it could be asked", "nothing was changed")
    job = require_slurm_job(run.slurm_path)
    if now:
        _cancel(job)
        return Answer(True, f"its node did not answer; Slurm job {job.job_id} is cancelled")
    raise FttuiError(
        f"the job of {run.id} did not answer within {ANSWER_SECONDS:.0f} s",
        f"squeue -j {job.job_id} shows it; fttui stop --now {run.id} cancels it",
    )


def _cancel(job: SlurmJob) -> None:
    from fttui_engine.slurm.programs import cancel

    if job.job_id:
        cancel(job.job_id)


def refuse_while_job_is_there(run: Run) -> None:
    """Raise WrongRequestError where the job of an ended run may yet begin again: Slurm requeues what it preempts."""
    from fttui_engine.slurm.programs import SlurmError, find_job, require_sbatch

    require_sbatch()
    job = read_slurm_job(run.slurm_path)
    if job is None or not job.job_id or read_state(run).state is not State.INTERRUPTED:
        return
    try:
        line = find_job(job.job_id)
    except SlurmError:
        return
    if line and line.state == "PENDING":
        raise WrongRequestError(
            f"Slurm has put job {job.job_id} of {run.id} back into its queue, and goes on with it by itself",
            f"scancel {job.job_id} first, to submit it anew",
        )
