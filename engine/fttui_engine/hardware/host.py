"""The host itself: CPU, load, memory, disk."""

import os
import socket
from pathlib import Path
from typing import NamedTuple

import psutil

# A load figure needs two looks; this long apart the first time, afterwards since the last reading.
FIRST_LOOK_SECONDS = 0.1

_has_looked = False


class Host(NamedTuple):
    """The host at one moment."""

    hostname: str
    cpu_count: int
    cpu_percent: float
    load_average: tuple[float, float, float]
    memory_total_bytes: int
    memory_used_bytes: int

    def disk_free_bytes(self, path: Path) -> int | None:
        """Free space for this user where ``path`` is or is going to be; None when it cannot be told."""
        return disk_free_bytes(path)


def read_host() -> Host:
    """Read the host once; the first time takes a tenth of a second."""
    global _has_looked  # noqa: PLW0603 - psutil keeps the previous look per process as well
    percent = psutil.cpu_percent(interval=None if _has_looked else FIRST_LOOK_SECONDS)
    _has_looked = True
    memory = psutil.virtual_memory()
    return Host(
        hostname=socket.gethostname(),
        # What this process may use: containers and Slurm give fewer cores than there are.
        cpu_count=len(os.sched_getaffinity(0)),
        cpu_percent=percent,
        load_average=os.getloadavg(),
        memory_total_bytes=memory.total,
        memory_used_bytes=memory.total - memory.available,
    )


def disk_free_bytes(path: Path) -> int | None:
    """Free space for this user where ``path`` is or is going to be; None when it cannot be told."""
    for folder in (path, *path.parents):
        try:
            space = os.statvfs(folder)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return space.f_bavail * space.f_frsize
    return None
