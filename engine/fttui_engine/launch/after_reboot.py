"""What a reboot interrupted goes on by itself, where its user asked for that."""

from pathlib import Path

from fttui_engine.errors import FttuiError
from fttui_engine.runs.files import DamagedFileError
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.queueing import QueueRequest
from fttui_engine.runs.run import Run, all_runs
from fttui_engine.runs.states import State
from fttui_engine.supervise.control import resume

BY_THE_HOST = ("reboot", "shutdown")


def resume_interrupted(home: Path) -> list[str]:
    """Resume every run that the host ended and that has ``run.resume_after_reboot``; return a sentence for each."""
    sentences = []
    for run in all_runs(home):
        if _is_to_go_on(run):
            try:
                sentences.append(f"{run.id}: {_resume(run)}")
            except FttuiError as error:
                sentences.append(f"{run.id}: does not go on: {error.message}")
    return sentences


def _is_to_go_on(run: Run) -> bool:
    state = read_state(run)
    if state.state is not State.INTERRUPTED or not state.exit or state.exit.kind not in BY_THE_HOST:
        return False
    try:
        return run.read_plan().resume_after_reboot
    except DamagedFileError:
        return False


def _resume(run: Run) -> str:
    """Queue what had GPUs, ahead of what was waiting: the driver may still be starting, and GPUs may count anew."""
    gpus = run.read_plan().gpus
    queue = QueueRequest(read_state(run).created_at, len(gpus)) if gpus else None
    resume(run, queue=queue)
    return "goes on as soon as its GPUs are free" if queue else "goes on"
