"""Creating a run and starting its first attempt.

A module of its own, which imports what is seldom needed only then: ``fttui start`` pays for every import.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.attempt import SCRATCH, Launch, Request
from fttui_engine.runs.files import Json
from fttui_engine.runs.home import ensure_home
from fttui_engine.runs.journal import Journal
from fttui_engine.runs.lock import charge_lock
from fttui_engine.runs.queueing import QueueRequest, write_queue_request
from fttui_engine.runs.run import (
    Plan,
    Run,
    claim_run_folder,
    delete_run_folder,
    hidden_run_folder,
    new_run_folder,
)
from fttui_engine.runs.states import State
from fttui_engine.supervise.output import claim_output
from fttui_engine.supervise.spawn import keeper_is_alive, spawn_keeper


def start_plan(
    plan: Plan,
    write_spec: Callable[[Path, str], None],
    home: Path | None = None,
    *,
    take_over: bool = False,
    queue: QueueRequest | None = None,
    slurm: Json | None = None,
) -> Run:
    """Create the run directory of a plan, start its first attempt or queue it, and return the run.

    ``plan.output_dir`` may be empty: then the checkpoints go into the run directory; ``write_spec`` is given the path
    to write to and the output folder that it came to. ``slurm``, settings of a job, leaves the start to Slurm's queue.
    The whole directory appears at once, by rename, with its lock held until a keeper is in charge; nothing is left
    behind where it cannot start.
    """
    ensure_home(home)
    draft = run = Run(hidden_run_folder(home))
    try:
        new_run_folder(draft.path)
        draft.attempt(1).create(Request(SCRATCH))

        def finish(run: Run) -> None:
            final = plan._replace(output_dir=plan.output_dir or str(run.checkpoints_dir))
            write_spec(draft.spec_path, final.output_dir)
            draft.write_plan(final)
            if queue:
                write_queue_request(draft.queue_path, queue)
            elif slurm is not None:
                from fttui_engine.runs.slurm_job import SlurmJob, write_slurm_job

                write_slurm_job(draft.slurm_path, SlurmJob("", slurm, time.time()))
            else:
                draft.attempt(1).write_launch(Launch(plan.argv, plan.environment, plan.cwd, None, None))

        _note_creation(draft, "the queue" if queue else "" if slurm is None else "Slurm's queue")
        with charge_lock(draft), claim_output(plan.output_dir, take_over=take_over) as set_owner:
            run = claim_run_folder(plan.name, draft.path, finish, home)
            set_owner(run)
            if take_over and plan.output_dir:
                from fttui_engine.runs.checkpoints import retire

                retire(Path(plan.output_dir), run.id)
            if queue:
                spawn_keeper(run)
            elif slurm is not None:
                from fttui_engine.supervise.slurm_queue import submit

                submit(run)
            else:
                _start_with_leases(run, plan)
            return run
    except BaseException:
        if not _has_begun(run) and run.path.exists():
            delete_run_folder(run)
        raise


def _note_creation(draft: Run, waits_in: str) -> None:
    created = f"Created by process {os.getpid()}."
    if waits_in:
        Journal(draft).move(State.QUEUED, "queued", f"{created} It waits in {waits_in}.", attempt=1)
    else:
        Journal(draft).move(State.STARTING, "created", created, attempt=1)


def _has_begun(run: Run) -> bool:
    """Whether something of a run whose start failed lives on: its keeper, its attempt, or its job in Slurm's queue."""
    from fttui_engine.runs.slurm_job import read_slurm_job
    from fttui_engine.supervise.evidence import recorded_process

    job = read_slurm_job(run.slurm_path)
    if job is not None and job.job_id:
        return True
    process = recorded_process(run, run.attempt(1))
    return keeper_is_alive(run) or bool(process and process.is_alive)


def _start_with_leases(run: Run, plan: Plan) -> None:
    """Start the first attempt with its leases already in the keeper's hands."""
    if not plan.leases:
        spawn_keeper(run, 1)
        return
    from fttui_engine.supervise.leases import release, take_all

    descriptors = take_all(plan.leases, run)
    if descriptors is None:
        raise WrongRequestError(
            "another run has taken the GPU at this very moment", "try again, or queue it: fttui start --queue"
        )
    try:
        spawn_keeper(run, 1, descriptors)
    finally:
        release(descriptors)
