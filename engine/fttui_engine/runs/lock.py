"""The one lock: held for milliseconds while a run changes who is in charge of it."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.home import PRIVATE_FILE
from fttui_engine.runs.run import Run

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def charge_lock(run: Run, wait_seconds: float = 10.0) -> Iterator[None]:
    """Hold the right to put a keeper in place; raises WrongRequestError if somebody else keeps it that long.

    Where the file system has no locks (some NFS mounts), the check under the lock is still made, so that only two
    viewers within the same few milliseconds could collide.
    """
    descriptor = os.open(run.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    break
                if time.monotonic() > deadline:
                    raise WrongRequestError(
                        f"{run.id} is being changed by another fttui", "try again in a moment"
                    ) from error
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)
