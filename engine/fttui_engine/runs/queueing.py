"""What a run that waits in the queue has asked for: ``queue.json``, written by whoever queues it."""

import time
from pathlib import Path
from typing import NamedTuple

from fttui_engine.runs.files import SCHEMA, Json, moment, read_json_or_none, whole_number, write_json

MOST_PRIORITY = 100
"""Priorities go from minus this to this."""


class QueueRequest(NamedTuple):
    """What a run waits for, and where it stands in line."""

    queued_at: float
    gpus: int = 0
    """How many GPUs; 0 for a run on the CPU."""
    only: tuple[int, ...] = ()
    """These GPUs and no others."""
    priority: int = 0
    """The higher, the further ahead among the queued runs of its own user."""
    backfill: bool = False
    """Start also while runs ahead wait for more GPUs than are free."""
    after: tuple[str, ...] = ()
    """Runs that have to have finished before."""
    sweep: str = ""
    """The set of runs that it was queued with."""
    varied: tuple[tuple[str, str], ...] = ()
    """The keys and values that tell it from the others of its set."""

    @property
    def kind(self) -> str:
        """The line to stand in: runs on the CPU do not wait for those on GPUs, nor the other way round."""
        return "gpu" if self.gpus or self.only else "cpu"


def write_queue_request(path: Path, request: QueueRequest) -> None:
    """Record what a run waits for."""
    write_json(path, {"schema": SCHEMA, **request._asdict()})


def read_queue_request(path: Path) -> QueueRequest | None:
    """Return what a run waits for, ``None`` for one that was never queued; what is damaged has its default."""
    value = read_json_or_none(path)
    if value is None:
        return None
    return QueueRequest(
        queued_at=moment(value.get("queued_at")) or time.time(),
        gpus=_at_least_0(value.get("gpus")),
        only=tuple(_at_least_0(gpu) for gpu in _items(value, "only")),
        priority=max(-MOST_PRIORITY, min(MOST_PRIORITY, whole_number(value.get("priority")) or 0)),
        backfill=value.get("backfill") is True,
        after=tuple(str(each) for each in _items(value, "after")),
        sweep=str(value.get("sweep") or ""),
        varied=tuple(
            (str(pair[0]), str(pair[1]))
            for pair in _items(value, "varied")
            if isinstance(pair, list) and len(pair) == 2
        ),
    )


def _items(value: Json, key: str) -> list[object]:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _at_least_0(value: object) -> int:
    return max(0, whole_number(value) or 0)
