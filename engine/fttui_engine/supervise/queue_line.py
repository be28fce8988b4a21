"""The line of queued runs on this host: one file per waiting run in the shared folder of leases.

The supervisor of a waiting run holds a lock on its file, its ticket; a ticket that nobody holds counts for nothing.
Who stands where follows from the tickets' names alone, so that nobody has to keep a list. The order is that of
arrival; among the places of one user the priorities decide, so that nobody can pass another user.
"""

import fcntl
import json
import os
import re
import stat
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from fttui_engine.runs.files import parse_line, whole_number
from fttui_engine.runs.queueing import MOST_PRIORITY, QueueRequest
from fttui_engine.supervise.leases import (
    MOST_BYTES,
    LeaseError,
    is_locked,
    is_named,
    lock_folder,
    open_lock_file,
    user_name,
)

if TYPE_CHECKING:
    from fttui_engine.runs.run import Run

READ_BY_ALL = 0o644
LOST_SECONDS = 5.0
"""A ticket that nobody holds keeps its place for so long: its supervisor may have been killed and followed."""

_NAME = re.compile(r"queue-(gpu|cpu)-([0-9]{15})-([0-9]{3})-([0-9]{1,10})-([0-9a-f]{8})")


class Place(NamedTuple):
    """One ticket in line."""

    name: str
    queued_ms: int
    priority: int
    uid: int


class Waiting(NamedTuple):
    """What another waiting run says of itself; everybody can write that, so it is only ever shown."""

    run: str
    user: str
    free: int | None
    """How many GPUs are free, for the first in line, who alone looks."""


def ticket_name(run: "Run", request: QueueRequest) -> str:
    """Return the name of a run's ticket."""
    queued_ms, mark = int(request.queued_at * 1000), zlib.crc32(os.fsencode(run.path))
    return f"queue-{request.kind}-{queued_ms:015d}-{request.priority + MOST_PRIORITY:03d}-{os.getuid()}-{mark:08x}"


def in_order(places: list[Place]) -> list[Place]:
    """Return the line: by arrival, each user's own places filled by priority."""
    arrivals = sorted(places, key=lambda place: (place.queued_ms, place.name))
    own: dict[int, list[Place]] = {}
    for place in arrivals:
        own.setdefault(place.uid, []).append(place)
    for mine in own.values():
        mine.sort(key=lambda place: (-place.priority, place.queued_ms, place.name), reverse=True)
    return [own[place.uid].pop() for place in arrivals]


class Ticket:
    """A waiting run's place in line."""

    def __init__(self, run: "Run", request: QueueRequest) -> None:
        self._run, self._kind = run, request.kind
        self.name = ticket_name(run, request)
        self._descriptor: int | None = None
        self._said = ""
        self._lost_since: dict[str, float] = {}

    def hold(self) -> bool:
        """Stand in line; False where an earlier supervisor of this run still does. Raises LeaseError."""
        if self._descriptor is not None and is_named(self._descriptor, self.name):
            return True
        self._close()
        descriptor = open_lock_file(self.name, READ_BY_ALL)
        if descriptor is None:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        if not is_named(descriptor, self.name):
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        self.say(None)
        return True

    def say(self, free: int | None) -> None:
        """Let the others in line know how many GPUs are free."""
        text = json.dumps({"run": self._run.id, "free": free})
        if self._descriptor is not None and text != self._said:
            self._said = text
            with suppress(OSError):  # a full disk: the place counts, not what is said of it
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, text.encode(), 0)

    def leave(self) -> None:
        """Leave the line."""
        if self._descriptor is not None:
            with suppress(OSError, LeaseError):
                os.unlink(lock_folder() / self.name)
        self._close()

    def ahead(self) -> list[Place]:
        """Return who stands before this ticket, the first in line first."""
        there = self._read_line()
        order = in_order([each for each in there if each.name == self.name or self._counts(each)])
        names = [each.name for each in order]
        return order[: names.index(self.name)] if self.name in names else order

    def _read_line(self) -> list[Place]:
        folder, found = lock_folder(), []
        for name in os.listdir(folder):
            fields = _NAME.fullmatch(name)
            if not fields or fields[1] != self._kind:
                continue
            with suppress(OSError):
                status = os.lstat(folder / name)
                # Nobody can stand in another's name: the owner of a file is the kernel's word, of a link it is not.
                if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == int(fields[4]):
                    found.append(Place(name, int(fields[2]), int(fields[3]), int(fields[4])))
        return found

    def _counts(self, place: Place) -> bool:
        """Whether somebody holds the ticket, or did a moment ago."""
        if is_held(place.name):
            self._lost_since.pop(place.name, None)
            return True
        lost_since = self._lost_since.setdefault(place.name, time.monotonic())
        if time.monotonic() - lost_since < LOST_SECONDS:
            return True
        if place.uid == os.getuid():
            _clear_away(place.name)
        return False

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._said = None, ""


def is_held(name: str) -> bool:
    """Whether somebody stands in line with this ticket."""
    descriptor = _open(name)
    if descriptor is None:
        return False
    try:
        return is_locked(descriptor)
    finally:
        os.close(descriptor)


def waiting_for_gpus() -> int:
    """Return how many runs of this host, whoever's they are, wait for GPUs."""
    try:
        names = os.listdir(lock_folder())
    except (OSError, LeaseError):
        return 0
    return sum(name.startswith("queue-gpu-") and is_held(name) for name in names)


def who_waits(place: Place) -> Waiting:
    """Return what a ticket says of its run."""
    descriptor = _open(place.name)
    value = None
    if descriptor is not None:
        value = parse_line(os.pread(descriptor, MOST_BYTES, 0))
        os.close(descriptor)
    free = whole_number((value or {}).get("free"))
    user = "" if place.uid == os.getuid() else user_name(place.uid)
    return Waiting(str((value or {}).get("run") or "another run")[:100], user, free)


def _open(name: str) -> int | None:
    try:
        return os.open(lock_folder() / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None


def _clear_away(name: str) -> None:
    """Delete a ticket of this user's that nobody holds any more."""
    descriptor = _open(name)
    if descriptor is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_named(descriptor, name):
            os.unlink(lock_folder() / name)
    except OSError:
        pass  # somebody came back for it
    finally:
        os.close(descriptor)
