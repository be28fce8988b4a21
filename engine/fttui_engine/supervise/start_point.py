"""Where an attempt starts: at step 0, or at a checkpoint that was read in full just before."""

from collections.abc import Callable
from pathlib import Path

from fttui_engine.errors import FttuiError
from fttui_engine.runs.attempt import SCRATCH, Attempt, Request
from fttui_engine.runs.checkpoints import CheckpointDamagedError, list_checkpoints, retire, set_aside, verify
from fttui_engine.runs.journal import Journal

Found = tuple[str, int]
"""Folder and step of a checkpoint."""


def choose_start(
    output_dir: Path, attempt: Attempt, journal: Journal, meanwhile: Callable[[], None]
) -> Found | None:
    """Return the checkpoint that a training attempt goes on from, ``None`` for step 0; the events say why.

    Raises FttuiError where the checkpoint that was asked for by its step is not whole, or the folder cannot be
    changed. Nothing is put out of the way before the way back is known to be good. ``meanwhile`` is called often.
    """
    request = attempt.read_request()
    found = None
    try:
        if request.resume != SCRATCH:
            found = _verified_checkpoint(output_dir, request.step, journal, meanwhile)
            if found is None and request.step is not None:
                raise FttuiError(f"There is no whole checkpoint of step {request.step}.")
        _retire_later(output_dir, request, attempt.number, journal)
    except OSError as error:
        raise FttuiError(f"The checkpoints in {output_dir} cannot be prepared: {error.strerror}.") from error
    where = f"goes on from {found[0]}" if found else "starts at step 0"
    folder, step = found or (None, None)
    journal.note("start_chosen", f"Attempt {attempt.number} {where}.", checkpoint=folder, step=step)
    return found


def _retire_later(output_dir: Path, request: Request, attempt_number: int, journal: Journal) -> None:
    """Put out of the way what lies behind the point where training starts again."""
    if request.resume != SCRATCH and request.step is None:
        return
    above = -1 if request.step is None else request.step
    label = f"attempt-{attempt_number:03d}"
    if steps := retire(output_dir, label, above):
        text = ", ".join(map(str, steps))
        journal.note("checkpoints_retired", f"Checkpoints {text} were moved to before-{label}.")


def _verified_checkpoint(
    output_dir: Path, only_step: int | None, journal: Journal, meanwhile: Callable[[], None]
) -> Found | None:
    """Return the newest checkpoint that is whole; every one that is passed over is set aside and named."""
    for checkpoint in reversed(list_checkpoints(output_dir)):
        if only_step is not None and checkpoint.step != only_step:
            continue
        journal.describe(f"verifying {checkpoint.path.name}")
        try:
            verify(checkpoint.path, meanwhile)
        except CheckpointDamagedError as error:
            aside = set_aside(checkpoint.path)
            message = f"{checkpoint.path.name} is not used: {error.reason}. It was renamed to {aside.name}."
            journal.note("checkpoint_rejected", message, step=checkpoint.step, reason=error.reason)
            continue
        return str(checkpoint.path), checkpoint.step
    return None
