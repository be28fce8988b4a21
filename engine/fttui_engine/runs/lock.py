"""The one lock: held for milliseconds while a run changes who is in charge of it."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fttui_engine.errors import NoSuchRunError, WrongRequestError
from fttui_engine.runs.home import PRIVATE_FILE
from fttui_engine.runs.run import Run

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def charge_lock(run: Run, wait_seconds: float = 10.0) -> Iterator[None]:
    """Hold the right to put a keeper in place; raises WrongRequestError if somebody else keeps it that long.

    Where the file system has no locks (some NFS mounts), the check under the lock is still made, so that only two
    viewers within the same few milliseconds could collide.
    """
    deadline = time.monotonic() + wait_seconds
    while (descriptor := _try_lock(run)) is None:
        if time.monotonic() > deadline:
            raise WrongRequestError(f"{run.id} is being changed by another fttui", "try again in a moment")
        time.sleep(0.01)
    try:
        yield
    finally:
        os.close(descriptor)


def _try_lock(run: Run) -> int | None:
    """Return a descriptor that holds the lock, ``None`` while somebody else does.

    The lock file is opened anew each time: while we wait the run may be deleted, and another one get its name.
    """
    try:
        descriptor = os.open(run.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except FileNotFoundError as error:
        raise NoSuchRunError(f"{run.id} was deleted", "fttui ls shows all runs") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            os.close(descriptor)
            return None
    try:
        if os.path.samestat(os.fstat(descriptor), os.stat(run.lock_path)):
            return descriptor
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return None
