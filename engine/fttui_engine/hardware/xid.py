"""Xids: the NVIDIA driver's numbered reports of what went wrong on a GPU, from NVML's events and the kernel's log.

NVML tells only what happens while somebody listens; the kernel's log, where a user may read it, tells of what was
before. Not measured on a card here: the format is that of NVIDIA's "Xid Errors" manual.
"""

import errno
import os
import re
import time
from collections.abc import Iterable
from typing import NamedTuple

KERNEL_LOG = "/dev/kmsg"
SAME_SECONDS = 10.0
"""NVML and the kernel's log tell of the same error at slightly different times."""
MOST_KEPT = 20
LINE = re.compile(r"NVRM: Xid \(PCI:(?P<slot>[0-9a-fA-F:.]+)\): (?P<number>\d+)")

# The ones that a person who trains will meet, by NVIDIA's manual; what to do stands behind the colon.
MEANINGS = {
    13: "a program computed where it must not: a bug in it, or bad memory",
    31: "a program reached for memory that is not its own: a bug in it",
    43: "a program's work was thrown away after its error",
    45: "a program was ended while it computed",
    48: "memory error that could not be corrected: reset the GPU",
    61: "the card's own processor stopped: reset the GPU",
    62: "the card's own processor stopped: reset the GPU",
    63: "a bad memory row was noted for replacement: reset the GPU when it is idle",
    64: "a bad memory row could not be replaced: have the card exchanged",
    74: "NVLink error: check the links",
    79: "fell off the bus: power, heat or slot; reboot this machine",
    92: "many corrected memory errors: watch it",
    94: "memory error, held inside one program: restart that program",
    95: "memory error that reached other programs: reset the GPU",
    119: "the card's own processor does not answer: reset the GPU or reboot",
    120: "the card's own processor failed: reset the GPU or reboot",
}
# Errors of programs: worth a line, but the GPU itself is well.
HARMLESS = frozenset({13, 31, 43, 45})

Slot = tuple[int, int, int]
"""PCI domain, bus and device."""


class Xid(NamedTuple):
    """One report, and when."""

    number: int
    at: float

    @property
    def text(self) -> str:
        """The number with what it means."""
        meaning = MEANINGS.get(self.number, "see NVIDIA's list of Xid errors")
        return f"Xid {self.number}: {meaning}"

    @property
    def is_serious(self) -> bool:
        """Whether it is the GPU that is not well."""
        return self.number not in HARMLESS


def with_xid(known: tuple[Xid, ...], new: Xid) -> tuple[Xid, ...]:
    """The reports with another one, unless it is known from the other source."""
    if any(each.number == new.number and abs(each.at - new.at) <= SAME_SECONDS for each in known):
        return known
    return tuple(sorted((*known, new), key=lambda each: each.at))[-MOST_KEPT:]


class KernelLog:
    """Reads what the kernel has written since boot, then what is added; silent where that is not allowed."""

    def __init__(self, path: str = KERNEL_LOG) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            # Containers have none, and many hosts let only root read it (kernel.dmesg_restrict).
            self._descriptor = -1

    def read(self) -> list[tuple[Slot, Xid]]:
        """The Xids that were added since the last look."""
        return list(_xids(self._records())) if self._descriptor >= 0 else []

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _records(self) -> Iterable[str]:
        while True:
            try:
                # The kernel hands out one record per read, and needs room for a whole one.
                record = os.read(self._descriptor, 8192)
            except OSError as error:
                if error.errno == errno.EPIPE:
                    # Overwritten before it was read; the next read goes on with the oldest that is left.
                    continue
                return
            if not record:
                return
            yield from record.decode("utf-8", "replace").splitlines()


def _xids(records: Iterable[str]) -> Iterable[tuple[Slot, Xid]]:
    booted_at = time.time() - time.monotonic()
    for record in records:
        head, _, message = record.partition(";")
        found = LINE.search(message)
        fields = head.split(",")
        slot = slot_of(found["slot"]) if found else None
        if found and slot and len(fields) > 2 and fields[2].isdigit():
            yield slot, Xid(int(found["number"]), booted_at + int(fields[2]) / 1e6)


def slot_of(text: str) -> Slot | None:
    """PCI address as numbers: the kernel writes ``0000:3b:00``, NVML ``00000000:3B:00.0``."""
    parts = re.split(r"[:.]", text)
    try:
        return int(parts[0], 16), int(parts[1], 16), int(parts[2], 16)
    except (IndexError, ValueError):
        return None
