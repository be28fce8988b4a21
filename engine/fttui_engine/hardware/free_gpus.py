"""Which GPUs nobody computes on: what the first run in the queue is told every two seconds.

It is a process of its own (``free_gpus_process.py``), since a driver that hangs or crashes must not take a supervisor
with it. One line of JSON per look: ``gpus``, a list of what ``FreeGpu`` holds, and ``error``, why there are none.
"""

import json
import os
import select
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from fttui_engine.hardware.gpus import Gpu, GpuProcess, read_gpus

LOOK_SECONDS = 2.0
CONTEXT_BYTES = 200 * 2**20
"""A process with less than this on a GPU has hardly opened it: a desktop, or a notebook that sleeps."""
IDLE_BYTES = 2**30
IDLE_SHARE = 0.05
"""What an idle GPU may have in use: screens and the driver's own; the larger of the two counts."""


class FreeGpu(NamedTuple):
    """A GPU and, where it is not free, the reason."""

    # Hides tuple.index(), which nobody calls on a GPU.
    index: int  # type: ignore[assignment]
    uuid: str | None
    free_bytes: int
    trouble: str


def visible_gpus() -> list[Gpu]:
    """Return the GPUs of this machine that CUDA_VISIBLE_DEVICES, where it is set, leaves to us."""
    return _visible(read_gpus().gpus)


def _visible(gpus: Sequence[Gpu]) -> list[Gpu]:
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return list(gpus)
    names = {name.strip() for name in allowed.split(",")}
    return [gpu for gpu in gpus if str(gpu.index) in names or gpu.uuid in names]


def why_not_free(gpu: Gpu) -> str:
    """Return why nothing should be started on a GPU, ``""`` where it is idle."""
    used, total = gpu.memory_used_bytes, gpu.memory_total_bytes
    if gpu.trouble or used is None or total is None:
        reasons = [gpu.trouble, *(f"{field}: {text}" for field, text in gpu.errors.items())]
        return f"set aside, it does not answer ({next(filter(None, reasons), 'no memory figures')})"
    if strangers := [each for each in gpu.processes if _counts(each)]:
        return f"in use by {', '.join(_name_of(each) for each in strangers[:3])}"
    if used > max(IDLE_BYTES, IDLE_SHARE * total):
        return f"set aside, {used / 2**30:.1f} GiB are held by no process that can be seen"
    return ""


def look() -> dict[str, Any]:
    """Look at every GPU once."""
    report = read_gpus()
    seen = [
        FreeGpu(
            gpu.index,
            gpu.uuid,
            gpu.memory_free_bytes or (gpu.memory_total_bytes or 0) - (gpu.memory_used_bytes or 0),
            why_not_free(gpu),
        )
        for gpu in _visible(report.gpus)
    ]
    return {"gpus": [each._asdict() for each in seen], "error": report.error or ""}


def main() -> int:
    """Print a look every two seconds until stdin is closed, as it is when the supervisor is gone."""
    while True:
        sys.stdout.write(json.dumps(look()) + "\n")
        sys.stdout.flush()
        if select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
            return 0


def _counts(process: GpuProcess) -> bool:
    return process.memory_bytes is None or process.memory_bytes >= CONTEXT_BYTES


def _name_of(process: GpuProcess) -> str:
    import pwd

    try:
        user = pwd.getpwuid(os.stat(f"/proc/{process.pid}").st_uid).pw_name
    except (OSError, KeyError):
        return f"process {process.pid}"
    return f"process {process.pid} of {user}"
