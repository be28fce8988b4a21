"""Who a process is: host, boot, pid namespace, pid and start time, because a pid alone soon belongs to a stranger."""

import os
from enum import Enum
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fttui_engine.runs.files import Json


class Liveness(Enum):
    """What can be said from here about a recorded process."""

    ALIVE = "alive"
    DEAD = "dead"
    FOREIGN = "foreign"
    """It ran on another host or in another pid namespace: never judged, never signalled from here."""


class ProcessIdentity(NamedTuple):
    """One process, told apart from every other that has had or will have its pid."""

    host: str
    boot_id: str
    pid_namespace: int
    pid: int
    start_ticks: int
    """Field 22 of /proc/PID/stat: clock ticks since boot, unlike a creation time not moved by setting the clock."""

    def liveness(self) -> Liveness:
        """Say whether this very process still runs; a zombie has ended."""
        same_host = self.host == this_host()
        if self.boot_id != boot_id():
            return Liveness.DEAD if same_host else Liveness.FOREIGN
        if self.pid_namespace != pid_namespace():
            return Liveness.FOREIGN
        found = start_ticks_and_status(self.pid)
        if found is not None and found[0] == self.start_ticks and found[1] not in "ZX":
            return Liveness.ALIVE  # also where the host was given another name since, as DHCP does
        return Liveness.DEAD if same_host else Liveness.FOREIGN

    @property
    def is_alive(self) -> bool:
        """Whether the process surely runs, on this host."""
        return self.liveness() is Liveness.ALIVE


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of a running process of this host, ``None`` if there is none with that pid."""
    found = start_ticks_and_status(pid)
    if found is None:
        return None
    return ProcessIdentity(this_host(), boot_id(), pid_namespace(), pid, found[0])


def identify_self() -> ProcessIdentity:
    """Return the identity of the calling process."""
    identity = identify(os.getpid())
    if identity is None:
        raise RuntimeError("/proc does not show this process: fttui needs a mounted /proc")
    return identity


def identity_from_json(value: object) -> ProcessIdentity | None:
    """Return the identity stored in a file, ``None`` where it is missing or damaged."""
    if not isinstance(value, dict):
        return None
    try:
        return ProcessIdentity(
            str(value["host"]),
            str(value["boot_id"]),
            int(value["pid_namespace"]),
            int(value["pid"]),
            int(value["start_ticks"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def identity_to_json(identity: ProcessIdentity | None) -> Json | None:
    """Return the form of an identity that the files carry."""
    return None if identity is None else identity._asdict()


def start_ticks_and_status(pid: int) -> tuple[int, str] | None:
    """Return start ticks and state letter of a process, ``None`` if it is gone."""
    try:
        content = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    fields = content[content.rindex(b")") + 2 :].split()
    return int(fields[19]), fields[0].decode()


@cache
def this_host() -> str:
    """Return this machine's node name."""
    return os.uname().nodename


@cache
def boot_id() -> str:
    """Return the id that the kernel drew when this host booted."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@cache
def pid_namespace() -> int:
    """Return the inode of this process's pid namespace: the same pid in another container is another process."""
    return Path("/proc/self/ns/pid").stat().st_ino
