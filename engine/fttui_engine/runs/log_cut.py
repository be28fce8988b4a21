"""A log whose middle was given back to the disk while its program went on writing: cutting it, and seeing where.

The middle becomes a hole of the file: its bytes take no room and read as zeros, what stands before and behind keeps its
place, and a program that appends notices nothing. Copying and truncating, as logrotate does, lost 6 % of the lines of a
busy program when measured.
"""

import errno
import os
from pathlib import Path
from typing import NamedTuple

from fttui_engine.runs.files import write_all

ALIGNMENT_BYTES = 64 * 1024
"""Holes begin and end at multiples of this: whole blocks on every file system, and of what readers read at a time."""
MOST_HOLES = 1000
"""Files made to mislead may have any number."""
MOST_COPIED_BYTES = 64 * 2**20

FALLOC_FL_KEEP_SIZE = 1
FALLOC_FL_PUNCH_HOLE = 2
UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS)


class Hole(NamedTuple):
    """A range of a file that is not on the disk."""

    start: int
    end: int

    @property
    def note(self) -> str:
        """What a reader shows in its place."""
        size_bytes = self.end - self.start
        # Only what something truncated from outside lacks its beginning; we keep it.
        why = (
            "the log grew beyond run.log_max_bytes" if self.start else "the file was cut while it was written"
        )
        return f"[{size_bytes:,} bytes are missing here: {why}]"


class Cut(NamedTuple):
    """What was cut out of a log."""

    size_bytes: int
    is_first: bool
    """Whether nothing had been cut out of it before."""
    is_hole: bool
    """Whether it became a hole; otherwise the file was written anew and is shorter now."""


def holes_of(descriptor: int) -> list[Hole]:
    """Return the holes of an open file, in order; none where the file system does not tell. Its position stays."""
    status = os.fstat(descriptor)
    if status.st_blocks * 512 >= status.st_size:
        return []
    found: list[Hole] = []
    position, place = 0, os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        while position < status.st_size and len(found) < MOST_HOLES:
            start = os.lseek(descriptor, position, os.SEEK_HOLE)
            position = _data_from(descriptor, start, status.st_size)
            hole = Hole(-(-start // ALIGNMENT_BYTES) * ALIGNMENT_BYTES, _aligned(position))
            if hole.end > hole.start:
                found.append(hole)
    except OSError:
        return found  # the file became shorter meanwhile, or its file system does not know the question
    finally:
        os.lseek(descriptor, place, os.SEEK_SET)
    return found


def cut_middle(path: Path, most_bytes: int) -> Cut | None:
    """Cut the middle out of a log that takes more than ``most_bytes``, so that the first eighth and the last half of that stay.

    Where the file system cannot make holes, the file is truncated behind its first part and its end is written on there
    (64 MiB at most): lines that its program writes in that very moment may then change their place.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size_bytes = os.fstat(descriptor).st_size
        start = _aligned(most_bytes // 8)
        if size_bytes <= most_bytes:
            return None
        cut_before = _data_from(descriptor, start, size_bytes) - start
        if size_bytes - cut_before <= most_bytes:
            return None
        end = _aligned(size_bytes - most_bytes // 2)
        try:
            _punch(descriptor, start, end - start)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            return _write_anew(path, descriptor, start, min(most_bytes // 2, MOST_COPIED_BYTES))
        return Cut(end - start - cut_before, cut_before == 0, True)
    finally:
        os.close(descriptor)


def _aligned(offset: int) -> int:
    return offset // ALIGNMENT_BYTES * ALIGNMENT_BYTES


def _data_from(descriptor: int, offset: int, size_bytes: int) -> int:
    """Return where the first bytes that are on the disk begin, at an offset or behind it."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size_bytes
        if error.errno in (errno.EINVAL, *UNSUPPORTED):
            return offset
        raise


def _punch(descriptor: int, start: int, size_bytes: int) -> None:
    # Python has no call for it; loading ctypes takes 10 ms that nobody needs whose log is small.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    while libc.fallocate(descriptor, mode, ctypes.c_int64(start), ctypes.c_int64(size_bytes)):
        if (number := ctypes.get_errno()) != errno.EINTR:
            raise OSError(number, os.strerror(number))


def _write_anew(path: Path, descriptor: int, start: int, last_bytes: int) -> Cut:
    size_bytes = os.fstat(descriptor).st_size
    position = size_bytes - last_bytes
    last = bytearray()
    # A program that prints faster than this reads is not waited for.
    while len(last) < 2 * last_bytes and (
        part := os.pread(descriptor, ALIGNMENT_BYTES, position + len(last))
    ):
        last += part
    os.ftruncate(descriptor, start)
    # Appended like all else, so that nothing that came meanwhile is written over.
    appending = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        hole = Hole(start, position)
        write_all(appending, f"\n{hole.note}\n".encode() + bytes(last))
    finally:
        os.close(appending)
    return Cut(hole.end - hole.start, True, False)
