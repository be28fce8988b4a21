"""Watching a process that is not one's child: its end, and on new kernels even its exit status."""

import fcntl
import os
import select
import struct
from pathlib import Path

from fttui_engine.runs.identity import Liveness, ProcessIdentity

# struct pidfd_info of linux/pidfd.h, first version: mask, cgroup id, eleven ids, exit code; 64 bytes.
_INFO = struct.Struct("=QQ11Ii")
_PIDFD_GET_INFO = (3 << 30) | (_INFO.size << 16) | (0xFF << 8) | 11  # _IOWR(0xFF, 11, struct pidfd_info)
_PIDFD_INFO_EXIT = 1 << 3  # since Linux 6.15: the exit status stays readable for whoever holds the pidfd


def zombie_status(identity: ProcessIdentity) -> int | None:
    """Return the wait status of a process that has ended and that init has not collected yet.

    In containers init may never do so; elsewhere this is a matter of a second at most.
    """
    try:
        if os.stat(f"/proc/{identity.pid}").st_uid != os.geteuid():
            return None  # the kernel would show a 0 that means nothing
        status = Path(f"/proc/{identity.pid}/stat").read_bytes()
    except OSError:
        return None
    fields = status[status.rindex(b")") + 2 :].split()
    # Fields 3, 22 and 52 of proc(5).
    if (
        fields[0] != b"Z"
        or int(fields[19]) != identity.start_ticks
        or identity.liveness() is not Liveness.DEAD
    ):
        return None
    return int(fields[49])


class ProcessWatch:
    """Holds on to one process by pidfd, which never comes to mean another process."""

    def __init__(self, identity: ProcessIdentity) -> None:
        self.pid = identity.pid
        try:
            self._descriptor = os.pidfd_open(identity.pid)
        except OSError:
            self._descriptor = -1
        if self._descriptor >= 0 and not identity.is_alive:
            # It ended, and its pid may have gone to a stranger, between the look in the file and the opening.
            os.close(self._descriptor)
            self._descriptor = -1

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the process ends."""
        return self._descriptor

    def exit_status(self) -> int | None:
        """Return the wait status of the ended process, ``None`` where it runs or the kernel is older than 6.15.

        It is there once init has collected the process; before that ``zombie_status`` knows it.
        """
        if self._descriptor < 0 or not select.select([self._descriptor], [], [], 0)[0]:
            return None
        request = bytearray(_INFO.pack(_PIDFD_INFO_EXIT, *([0] * 13)))
        try:
            fcntl.ioctl(self._descriptor, _PIDFD_GET_INFO, request)
        except OSError:
            return None
        mask, *_, status = _INFO.unpack(request)
        return status if mask & _PIDFD_INFO_EXIT else None
