"""Output folders outside the run directory: one run at a time may write to each."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.files import parse_line, write_all
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.run import Run
from fttui_engine.supervise.spawn import keeper_is_alive

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
    before = os.pread(descriptor, 65536, 0)
    owner: Run | None = None

    def set_owner(run: Run) -> None:
        nonlocal owner
        owner = run
        _write_owner(descriptor, run)

    try:
        _refuse_taken(folder, before, take_over=take_over)
        yield set_owner
    except BaseException:
        if owner is None or not keeper_is_alive(owner):
            _undo_claim(folder, descriptor, before, made)
        raise
    finally:
        os.close(descriptor)


@contextmanager
def reclaim_output(run: Run) -> Iterator[None]:
    """Hold the output folder of an ended run while it is started again; refuse if another run took it meanwhile."""
    folder = run.output_dir
    if folder.is_relative_to(run.path):
        yield
        return
    _make_folder(folder)
    descriptor = _lock_owner_file(folder)
    try:
        owner = parse_line(os.pread(descriptor, 65536, 0)) or {}
        other = Run(Path(str(owner.get("run_dir") or run.path)))
        if other.path != run.path and other.plan_path.exists():
            raise WrongRequestError(
                f"output_dir: {folder} belongs to the run {other.id} by now",
                f"its checkpoints are not those of {run.id}; start a new run with another output_dir",
            )
        _write_owner(descriptor, run)
        yield
    finally:
        os.close(descriptor)


def _write_owner(descriptor: int, run: Run) -> None:
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    write_all(descriptor, json.dumps({"id": run.id, "run_dir": str(run.path)}).encode())


def _undo_claim(folder: Path, descriptor: int, before: bytes, made: list[Path]) -> None:
    """Leave the folder as it was found. Whoever waits for the lock sees that its file is gone, and starts over."""
    with suppress(OSError):
        if before:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, before, 0)
            return
        (folder / OWNER).unlink(missing_ok=True)
        for each in reversed(made):
            each.rmdir()


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
    deadline = time.monotonic() + WAIT_SECONDS
    while (descriptor := _try_lock(folder)) is None:
        if time.monotonic() > deadline:
            raise WrongRequestError(
                f"output_dir: {folder} is being claimed by another start", "try again in a moment"
            )
        time.sleep(0.01)
    return descriptor


def _try_lock(folder: Path) -> int | None:
    """Return a descriptor that holds the lock on the owner file, ``None`` while somebody else does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None  # another start failed and took its new folder away
    except OSError as error:
        raise WrongRequestError(
            f"output_dir: {folder} cannot be written to: {error.strerror}",
            "choose a folder that you can write to",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        return descriptor  # no locks on this file system: the owner is still read
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), os.stat(folder / OWNER)):
            return descriptor
    os.close(descriptor)
    return None


def _refuse_taken(folder: Path, owner: bytes, *, take_over: bool) -> None:
    from fttui_engine.runs.checkpoints import list_checkpoints

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
