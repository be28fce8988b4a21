"""A lock that is held exactly as long as somebody lives, for those who cannot see the process itself.

A container that is restarted keeps the boot id of its host and gets a new pid namespace: the recorded pids mean nothing
in there, but the kernel has dropped the locks of whoever was killed.
"""

import fcntl
import os
from pathlib import Path

from fttui_engine.runs.home import PRIVATE_FILE
from fttui_engine.runs.identity import Liveness, ProcessIdentity, boot_id


def hold(path: Path) -> int:
    """Take a share of a lock and return its descriptor, which whoever is to count as living inherits.

    Where the file system has no locks nothing is held; who asks is then told that nobody knows.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        os.write(descriptor, f"no lock: {error.strerror}\n".encode())
    return descriptor


def liveness_of(identity: ProcessIdentity, path: Path) -> Liveness:
    """Say whether a recorded process still runs; in another container of this host the lock at ``path`` decides."""
    found = identity.liveness()
    if found is Liveness.FOREIGN and identity.boot_id == boot_id() and _is_free(path):
        return Liveness.DEAD
    return found


def _is_free(path: Path) -> bool:
    """Whether the lock was held once and nobody holds it now; False where that cannot be known."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.fstat(descriptor).st_size:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
