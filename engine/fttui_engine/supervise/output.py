"""Output folders outside the run directory: one run at a time may write to each."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.checkpoints import list_checkpoints
from fttui_engine.runs.files import parse_line, write_all
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.run import Run

OWNER = ".fttui-run.json"
WAIT_SECONDS = 10.0


@contextmanager
def claim_output(output_dir: str, *, take_over: bool) -> Iterator[Callable[[Run], None]]:
    """Hold an output folder while a run is created, and yield the function that makes the run its owner.

    Two starts at once meet at the lock on the owner file: the second one then reads who won. An empty ``output_dir``
    stands for the run directory itself, which needs no claim. Raises WrongRequestError where the folder cannot be
    used: unwritable, owned by a live run, or holding another run's checkpoints without ``take_over``.
    """
    if not output_dir:
        yield lambda run: None
        return
    folder = Path(output_dir)
    made = _make_folder(folder)
    descriptor = _lock_owner_file(folder)
    try:
        _refuse_taken(folder, os.pread(descriptor, 65536, 0), take_over=take_over)

        def set_owner(run: Run) -> None:
            nonlocal made
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            write_all(descriptor, json.dumps({"id": run.id, "run_dir": str(run.path)}).encode())
            made = []

        yield set_owner
    finally:
        if made:
            (folder / OWNER).unlink(missing_ok=True)
            for each in reversed(made):
                each.rmdir()
        os.close(descriptor)


def release_output(run: Run) -> None:
    """Let go of the output folder of a run that is about to be deleted; what is in it stays."""
    owner = run.output_dir / OWNER
    try:
        value = parse_line(owner.read_bytes())
    except OSError:
        return
    if value and value.get("run_dir") == str(run.path):
        owner.unlink(missing_ok=True)


def _make_folder(folder: Path) -> list[Path]:
    """Create the folder and return what was new, outermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongRequestError(
            f"output_dir: {folder} cannot be created: {error.strerror}",
            "choose a folder that you can write to",
        ) from error
    return list(reversed(missing))


def _lock_owner_file(folder: Path) -> int:
    try:
        descriptor = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise WrongRequestError(
            f"output_dir: {folder} cannot be written to: {error.strerror}",
            "choose a folder that you can write to",
        ) from error
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                return descriptor  # no locks on this file system: the owner is still read
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise WrongRequestError(f"output_dir: {folder} is being claimed by another start") from error
            time.sleep(0.01)


def _refuse_taken(folder: Path, owner: bytes, *, take_over: bool) -> None:
    value = parse_line(owner) if owner else None
    if value:
        other = Run(Path(str(value.get("run_dir"))))
        if other.plan_path.exists() and (state := read_state(other).state).is_live:
            raise WrongRequestError(
                f"output_dir: {folder} belongs to the run {other.id}, which is {state}",
                "choose another output_dir, or stop that run first",
            )
    if not take_over and (checkpoints := list_checkpoints(folder)):
        whose = f"of the run {value['id']} " if value and "id" in value else ""
        raise WrongRequestError(
            f"output_dir: {folder} already holds checkpoints {whose}(the latest: {checkpoints[-1].path.name})",
            "resume that run, choose another output_dir, or set overwrite_output_dir: true",
        )
