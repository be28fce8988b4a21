"""A run at one moment, as ``fttui show`` prints it and the screens draw it."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fttui_engine.runs.attempt import SCRATCH, Progress
from fttui_engine.runs.checkpoints import Checkpoint, list_checkpoints
from fttui_engine.runs.files import Json, finite, read_json_or_none
from fttui_engine.runs.identity import ProcessIdentity, identity_from_json, this_host
from fttui_engine.runs.journal import ExitVerdict, RunState, read_state
from fttui_engine.runs.run import Run
from fttui_engine.runs.states import State

if TYPE_CHECKING:
    from fttui_engine.runs.slurm_job import SlurmJob


class RunSummary(NamedTuple):
    """What is known of a run, without reading its history; its JSON form is a documented, stable interface."""

    id: str
    name: str
    kind: str
    state: State
    detail: str
    attempt: int
    phase: str | None
    step: int | None
    max_steps: int | None
    epoch: float | None
    loss: float | None
    tokens_per_second: float | None
    step_seconds: float | None
    eta_seconds: float | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    updated_at: float | None
    """When rank 0 last said something."""
    stop_deadline: float | None
    pid: int | None
    """The attempt's process, ``None`` when none runs."""
    keeper_pid: int | None
    supervisor_pid: int | None
    host: str
    exit: ExitVerdict | None
    checkpoints: tuple[Checkpoint, ...]
    run_dir: Path
    output_dir: Path
    log_path: Path
    gpus: tuple[int, ...] | None
    command: tuple[str, ...]
    slurm_job: str | None = None
    """The id of its job, for a run of Slurm's."""

    def to_json(self) -> Json:
        """Return the stable form that ``fttui show --json`` prints."""
        value: Json = {
            **self._asdict(),
            "exit": self.exit._asdict() if self.exit else None,
            "checkpoints": [
                {
                    "step": each.step,
                    "path": str(each.path),
                    "complete": each.complete,
                    "bytes": each.size_bytes,
                }
                for each in self.checkpoints
            ],
        }
        for name in ("run_dir", "output_dir", "log_path"):
            value[name] = str(value[name])
        result: Json = finite(value)
        return result


def summarize(run: Run) -> RunSummary:
    """Return what is known of a run; what is missing or damaged is ``None``, never an error."""
    plan = read_json_or_none(run.plan_path) or {}
    state = read_state(run)
    attempt = run.attempt(state.attempt or 1)
    progress = attempt.read_progress()
    reached = _reached(run, state.attempt or 1)
    keeper = read_json_or_none(run.keeper_path) or {}
    keeper_identity = identity_from_json(keeper.get("keeper"))
    current = keeper.get("attempt") == state.attempt
    pid = _alive_pid(identity_from_json(keeper.get("process"))) if current else None
    live = state.state.is_live
    outcome = None if live else attempt.read_outcome()
    slurm = None
    if plan.get("launcher") == "slurm":
        from fttui_engine.runs.slurm_job import read_slurm_job

        slurm = read_slurm_job(run.slurm_path)
    gpus = plan.get("gpus")
    output_dir = Path(str(plan.get("output_dir") or run.checkpoints_dir))
    return RunSummary(
        id=run.id,
        name=str(plan.get("name") or run.id),
        kind=str(plan.get("kind") or "command"),
        state=state.state,
        detail=state.detail or (_slurm_detail(run, slurm, state) if slurm and live else ""),
        attempt=state.attempt,
        phase=progress.phase if progress and live else None,
        step=outcome.step if outcome else reached.step if reached else None,
        max_steps=reached.max_steps if reached else None,
        epoch=reached.epoch if reached else None,
        loss=reached.loss if reached else None,
        tokens_per_second=progress.tokens_per_second if progress and live else None,
        step_seconds=progress.step_seconds if progress and live else None,
        eta_seconds=progress.eta_seconds if progress and live else None,
        created_at=state.created_at,
        started_at=state.started_at,
        ended_at=state.ended_at,
        updated_at=progress.time if progress else None,
        stop_deadline=state.stop_deadline if state.state is State.STOPPING else None,
        pid=pid,
        keeper_pid=_alive_pid(keeper_identity),
        supervisor_pid=_alive_pid(
            identity_from_json((read_json_or_none(run.lease_path) or {}).get("supervisor"))
        ),
        host=slurm.node if slurm else keeper_identity.host if keeper_identity else this_host(),
        exit=state.exit,
        checkpoints=tuple(list_checkpoints(output_dir)),
        run_dir=run.path,
        output_dir=output_dir,
        log_path=_log_path(run, state.attempt),
        gpus=tuple(gpus) if isinstance(gpus, list) else None,
        command=_words(plan.get("argv")),
        slurm_job=slurm.job_id if slurm else None,
    )


def _slurm_detail(run: Run, job: "SlurmJob", state: RunState) -> str:
    """Return what a run waits for in Slurm's queue: before it begins, or since its node was lost."""
    from fttui_engine.runs.slurm_job import PENDING, read_sights, waiting_sentence

    sights, began = read_sights(run.home), state.attempt_started_at
    sight = sights.jobs.get(job.job_id)
    is_back = sight and sight.state == PENDING and began and sights.answered_at > began
    if state.state is not State.QUEUED and not is_back:
        return ""
    return waiting_sentence(job, sights, time.time())


def _reached(run: Run, number: int) -> Progress | None:
    """Return how far training is; until a resumed attempt trains, where the attempt before it was."""
    attempt = run.attempt(number)
    progress = attempt.read_progress()
    if progress and progress.max_steps is not None:
        return progress
    if number > 1 and attempt.read_request().resume != SCRATCH:
        return _reached(run, number - 1) or progress
    return progress


def _alive_pid(identity: ProcessIdentity | None) -> int | None:
    return identity.pid if identity and identity.is_alive else None


def _log_path(run: Run, attempt: int) -> Path:
    """Return the log of the latest attempt that has one: while a checkpoint is verified the new one is not there."""
    for number in range(attempt, 0, -1):
        path = run.attempt(number).log_path
        if os.path.exists(path):
            return path
    return run.attempt(attempt or 1).log_path


def _words(value: Any) -> tuple[str, ...]:
    return tuple(str(word) for word in value) if isinstance(value, list) else ()
