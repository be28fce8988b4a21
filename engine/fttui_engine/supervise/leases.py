"""Leases: which run of this host has a GPU to itself, whoever's run it is.

A lease is a lock on a file in a folder that all users of the host share. The keeper of the run and its attempt inherit
the descriptor, and the kernel drops the lock with the last of them: a lease can neither be forgotten nor outlive a
reboot. What is written in the file says who holds it, for people; only the lock decides. Invariants:

- No file of the shared folder is followed, executed or trusted: it may be anybody's.
- Whoever only looks takes a shared lock for microseconds, so one refusal is not believed before it was repeated.
"""

import fcntl
import json
import os
import stat
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fttui_engine.errors import FttuiError
from fttui_engine.runs.files import parse_line, whole_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fttui_engine.runs.run import Run

FOLDER_VARIABLE = "FTTUI_LOCKS"
SHARED_FOLDER = 0o1777
"""Everybody may add a file, and only its owner may delete or rename it."""
EVERYBODYS_FILE = 0o666
CPU = "cpu"
"""The lease of queued runs that use no GPU: they run one at a time."""

TRIES = 5
PAUSE_SECONDS = 0.01
MOST_BYTES = 4096


class LeaseError(FttuiError):
    """The folder of leases, or a file in it, cannot be used."""


class Holder(NamedTuple):
    """Who holds a lease, as far as its file tells."""

    run: str
    user: str
    """Empty where it is this user's own run."""
    key: str
    since: float | None

    def __str__(self) -> str:
        return f"{self.run} ({self.user})" if self.user else self.run


def lease_name(index: int, uuid: str | None) -> str:
    """Return the name of a GPU's lease: by its own id, since containers may count the GPUs differently."""
    name = uuid if uuid and uuid.replace("-", "").isalnum() else str(index)
    return f"gpu-{name.removeprefix('GPU-')}"


def lock_folder() -> Path:
    """Return the folder that all users of this host share, made where it is missing; raises LeaseError."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        folder = Path(os.path.abspath(chosen))
    else:
        folder = _default_folder()
    try:
        return _checked(folder)
    except OSError as error:
        raise LeaseError(
            f"the folder of GPU leases {folder} cannot be used: {error.strerror}",
            f"set {FOLDER_VARIABLE} to a folder that all users of this host can write to",
        ) from error


def take(name: str, run: "Run") -> int | None:
    """Take a lease for a run and return the descriptor that holds it; ``None`` while somebody else does."""
    for _ in range(TRIES):
        descriptor = open_lock_file(name)
        if descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
            except OSError as error:
                os.close(descriptor)
                raise _no_locks(error) from error
            else:
                if is_named(descriptor, name):
                    _sign(descriptor, run)
                    return descriptor
                os.close(descriptor)
        time.sleep(PAUSE_SECONDS)
    return None


def take_all(names: "Iterable[str]", run: "Run") -> list[int] | None:
    """Take all of some leases, or none of them."""
    taken: list[int] = []
    for name in sorted(names):
        descriptor = take(name, run)
        if descriptor is None:
            release(taken)
            return None
        taken.append(descriptor)
    return taken


def release(descriptors: "Iterable[int]") -> None:
    """Close descriptors; a lease is free when nobody else has inherited it."""
    for descriptor in descriptors:
        os.close(descriptor)


def holder_of(name: str) -> Holder | None:
    """Return who holds a lease, ``None`` where it is free or leases cannot be read."""
    try:
        descriptor = os.open(lock_folder() / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, LeaseError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not is_locked(descriptor):
            return None
        return _read(descriptor)
    finally:
        os.close(descriptor)


def is_of(holder: Holder, run: "Run") -> bool:
    """Whether a lease is held for this very run."""
    return holder.key == _key(run)


def keep_alive(name: str) -> None:
    """Mark a lease as in use: a cleaner of /tmp deletes what was not touched for days."""
    with suppress(OSError, LeaseError):
        os.utime(lock_folder() / name, follow_symlinks=False)


def open_lock_file(name: str, mode: int = EVERYBODYS_FILE) -> int | None:
    """Open a file of the shared folder for locking, made where it is missing; ``None``: try again in a moment."""
    path = lock_folder() / name
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        # Not with O_CREAT at first: the kernel refuses that for a stranger's file in such a folder.
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
            os.fchmod(descriptor, mode)
        except FileExistsError:
            return None
    except OSError as error:
        if isinstance(error, PermissionError) and _is_fresh(path):
            return None  # its maker has not opened it to the others yet
        raise LeaseError(
            f"the lease {path} cannot be used: {error.strerror}", "its owner or root can delete it"
        ) from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
        return descriptor
    os.close(descriptor)
    if status.st_nlink == 0:
        return None
    raise LeaseError(f"the lease {path} is no plain file", "its owner or root can delete it")


def is_named(descriptor: int, name: str) -> bool:
    """Whether an open file is still the one of that name: it may have been deleted while it was waited for."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(lock_folder() / name))
    except FileNotFoundError:
        return False


def is_locked(descriptor: int) -> bool:
    """Whether somebody holds the lock of an open file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def user_name(number: int) -> str:
    """Return the name of a user."""
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _default_folder() -> Path:
    # Judged by its mode and not by what this user may do, so that all users come to the same folder.
    with suppress(OSError):
        if stat.S_IMODE(os.lstat("/run/lock").st_mode) & SHARED_FOLDER == SHARED_FOLDER:
            return Path("/run/lock/fttui")
    return Path("/tmp/fttui-locks")  # noqa: S108 - shared on purpose, and checked


def _checked(folder: Path) -> Path:
    for _ in range(TRIES):
        try:
            folder.mkdir(mode=0o700)
            folder.chmod(SHARED_FOLDER)
        except FileExistsError:
            pass
        status = os.lstat(folder)
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            if mode & SHARED_FOLDER == SHARED_FOLDER:
                return folder
            if status.st_uid == os.getuid() and not mode & stat.S_IWOTH:
                return folder  # a private one, chosen on purpose
        time.sleep(PAUSE_SECONDS)  # another user has just made it
    what = "is no folder" if not stat.S_ISDIR(status.st_mode) else f"has the mode {mode:o}, not 1777"
    raise LeaseError(
        f"the folder of GPU leases {folder} {what}",
        f"let its owner, {user_name(status.st_uid)}, delete it, or set {FOLDER_VARIABLE} to another folder for all users",
    )


def _sign(descriptor: int, run: "Run") -> None:
    value = {"run": run.id, "uid": os.getuid(), "key": _key(run), "since": time.time()}
    with suppress(OSError):  # a full disk: the lock counts, not the name
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(value).encode() + b"\n", 0)


def _read(descriptor: int) -> Holder:
    value = parse_line(os.pread(descriptor, MOST_BYTES, 0)) or {}
    uid, since = whole_number(value.get("uid")), value.get("since")
    return Holder(
        run=str(value.get("run") or "a run")[:100],
        user=user_name(uid) if uid is not None and 0 <= uid < 2**31 and uid != os.getuid() else "",
        key=str(value.get("key") or ""),
        since=since if isinstance(since, float) else None,
    )


def _key(run: "Run") -> str:
    # Not the path itself, which everybody could read.
    return f"{os.getuid()}-{zlib.crc32(os.fsencode(run.path)):08x}"


def _is_fresh(path: Path) -> bool:
    try:
        return time.time() - os.lstat(path).st_ctime < 1.0
    except OSError:
        return True


def _no_locks(error: OSError) -> LeaseError:
    return LeaseError(
        f"the folder of GPU leases {lock_folder()} has no locks: {error.strerror}",
        f"set {FOLDER_VARIABLE} to a folder on a local disk",
    )
