"""What each thread of a rank was doing when it was asked: written by the rank itself, read by people and supervisor."""

import signal
from pathlib import Path
from typing import Final, NamedTuple

STACKS_SIGNAL: Final = signal.SIGUSR2
"""Asks a rank for its stacks; SIGUSR1 is what Slurm announces the end of a job with."""

MARK: Final = "---- "
"""How the line begins that stands before each dump, with its time and reason."""

MOST_BYTES: Final = 2**20
"""A dump of 100 threads takes 100 KB; what is further from the end is from earlier."""

_WAITING: Final = (
    "all_reduce", "all_gather", "barrier", "broadcast", "reduce_scatter", "wait", "synchronize",
    "_engine_run_backward", "select", "poll", "item", "any", "gather", "_try_get_data",
)  # fmt: skip
"""The functions in which a rank waits for another one, for the GPU or for its data loaders."""


class Dump(NamedTuple):
    """The stacks of one rank at one moment."""

    head: str
    """When, where it stood, and why it was asked."""
    text: str


def latest_dump(text: str) -> Dump | None:
    """Return the last dump of a file of dumps that holds anything."""
    for part in reversed(text.split(MARK)):
        head, _, stacks = part.partition("\n")
        if stacks.strip():
            return Dump(head, stacks.strip("\n"))
    return None


def read_dumps(folder: Path) -> dict[int, Dump]:
    """Return the last dump of each rank, by rank; those of data loaders stand in the same file and are passed over."""
    found: dict[int, Dump] = {}
    for path in folder.glob("rank*.txt"):
        number = path.stem.removeprefix("rank")
        if not (number.isascii() and number.isdigit()):
            continue
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - MOST_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            continue
        ours = MARK.join(part for part in text.split(MARK) if f", rank {number}, " in part.partition("\n")[0])
        if dump := latest_dump(ours):
            found[int(number)] = dump
    return dict(sorted(found.items()))


def innermost_frame(dump: str) -> str:
    """Return ``function, file:line`` of where the thread was that answered, ``""`` where a dump does not say it."""
    lines = iter(dump.splitlines())
    for line in lines:
        if line.startswith("Current thread"):
            return _shown(next(lines, ""))
    return ""


def waits_for_others(dump: str) -> bool:
    """Whether the thread that answered was waiting for another rank, the GPU or a data loader."""
    lines = dump.splitlines()
    start = next((at for at, line in enumerate(lines) if line.startswith("Current thread")), len(lines))
    return any(line.rpartition(" in ")[2].strip() in _WAITING for line in lines[start + 1 : start + 4])


def _shown(frame: str) -> str:
    """Return ``load, files.py:88`` for faulthandler's ``File "/a/b/files.py", line 88 in load``."""
    place, _, function = frame.strip().rpartition(" in ")
    path, _, line = place.removeprefix('File "').partition('", line ')
    parts = path.rsplit("/", 2)
    return f"{function} ({'/'.join(parts[-2:])}:{line})" if function and line.isdigit() else ""
