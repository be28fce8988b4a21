"""Asking a process of its own, every two seconds, which GPUs are free: a driver that hangs holds only that process."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

_PROGRAM = Path(__file__).parents[1] / "hardware" / "free_gpus_process.py"
SILENT_SECONDS = 60.0
"""Opening a driver that is not kept loaded takes up to 40 s; whoever is silent for longer is asked anew."""


class SeenGpu(NamedTuple):
    """A GPU as it was seen; ``trouble`` says why nothing should be started on it."""

    # Hides tuple.index(), which nobody calls on a GPU.
    index: int  # type: ignore[assignment]
    uuid: str | None
    free_bytes: int
    trouble: str


class Seen(NamedTuple):
    """All GPUs that there are, or why there are none."""

    gpus: list[SeenGpu]
    error: str


class GpuLook:
    """The latest look at the GPUs; never blocks."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._heard_at = 0.0
        self._latest: Seen | None = None

    def latest(self) -> Seen | None:
        """Return what was seen last, ``None`` where nothing was seen yet or for long."""
        if self._process is None:
            self._start()
        self._read()
        if time.monotonic() - self._heard_at > SILENT_SECONDS:
            self.close()
        return self._latest

    def close(self) -> None:
        """Look no more; a process that hangs inside the driver is left behind to be killed."""
        process, self._process = self._process, None
        self._buffer, self._latest = b"", None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.kill()
        with suppress(subprocess.TimeoutExpired):  # inside the kernel; the keeper collects it
            process.wait(1.0)

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._heard_at = time.monotonic()
        if self._process.stdout is not None:
            os.set_blocking(self._process.stdout.fileno(), False)

    def _read(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        try:
            while found := os.read(self._process.stdout.fileno(), 65536):
                self._buffer += found
            self._latest = None  # it died; it is followed by another when it has been silent for long
        except BlockingIOError:
            pass
        *lines, self._buffer = self._buffer.split(b"\n")
        if lines and lines[-1]:
            self._heard_at = time.monotonic()
            self._latest = _seen(json.loads(lines[-1]))


def _seen(value: dict[str, Any]) -> Seen:
    gpus = [
        SeenGpu(each["index"], each["uuid"], each["free_bytes"], each["trouble"]) for each in value["gpus"]
    ]
    return Seen(gpus, value["error"])
