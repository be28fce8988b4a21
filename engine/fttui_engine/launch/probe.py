"""Measuring a configuration's memory with some real steps, in a process that leaves nothing behind but the figure."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fttui_engine.errors import FttuiError, WrongRequestError
from fttui_engine.launch.gpu_choice import choose_gpus
from fttui_engine.runs.attempt import Launch, Request
from fttui_engine.runs.memory import MemoryRecord, append_probe, read_memory
from fttui_engine.runs.run import Run

if TYPE_CHECKING:
    from threading import Event

    from fttui_engine.spec.resolved import Resolved

# What a probe calls itself where runs have their id.
PROBE = "probe"
MODULE = "fttui_engine.train.probe"
_LOOK_SECONDS = 0.1
LONGEST_SECONDS = 3600.0
"""Three steps take seconds; loading a model of 100 GB over a network takes half an hour."""


class ProbeCancelledError(FttuiError):
    """A probe that somebody wanted no more."""

    def __init__(self) -> None:
        super().__init__("the probe was cancelled")


def probe(resolved: "Resolved", cancelled: "Event | None" = None) -> MemoryRecord:
    """Train three steps on the longest examples and return prediction and measured peak; raises FttuiError.

    Once ``cancelled`` is set, the steps are given up and ProbeCancelledError is raised.
    """
    if not resolved.ok:
        raise WrongRequestError("the configuration has errors", "mend them first; then probe")
    if resolved.run.command is not None:
        raise WrongRequestError("run.command is a program of your own", "a probe knows our own training only")
    if resolved.values.get("deepspeed"):
        raise WrongRequestError(
            "a probe does not know DeepSpeed",
            "start the run with max_steps: 3; it records what it took, and fttui estimates shows it",
        )
    with TemporaryDirectory(prefix="fttui-probe-") as folder:
        run = Run(Path(folder) / PROBE)
        record = _measured(run, resolved, cancelled)
    append_probe(record)
    return record


def _measured(run: Run, resolved: "Resolved", cancelled: "Event | None") -> MemoryRecord:
    from fttui_engine.spec.resolved import write_spec

    attempt = run.attempt(1)
    attempt.create(Request("scratch"))
    argv = _argv(resolved)
    write_spec(resolved.with_value("output_dir", str(run.path / "result"), PROBE), run.spec_path)
    attempt.write_launch(Launch(argv, {}, str(Path.cwd()), None, None))
    with attempt.log_path.open("wb") as log:
        code = _wait_for(argv, _environment(run, resolved), log.fileno(), cancelled)
    outcome, record = attempt.read_outcome(), read_memory(run.path)
    if outcome is None or outcome.result != "finished":
        text = attempt.log_path.read_text(errors="replace").strip().splitlines() or [f"exit code {code}"]
        raise FttuiError(
            f"the probe failed: {outcome.message if outcome else text[-1]}",
            (outcome.advice if outcome else "") or "fttui check without --probe says what is predicted",
        )
    if record is None or record.measured_bytes is None:
        raise FttuiError("the probe ran, but nothing is predicted for this model", "fttui check says why")
    return record


def _argv(resolved: "Resolved") -> list[str]:
    """Return the command of one process, or of as many as the run is going to have."""
    python, count = resolved.run.python or sys.executable, resolved.run.process_count
    if count == 1:
        return [python, "-P", "-m", MODULE]
    return [python, "-P", "-m", "fttui_engine.train.ranks", str(count), MODULE]


def _environment(run: Run, resolved: "Resolved") -> dict[str, str]:
    wanted = "none" if resolved.values.get("use_cpu") else resolved.run.gpus
    gpus = choose_gpus(wanted) or []
    return {
        **os.environ,
        "TOKENIZERS_PARALLELISM": "false",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus)),
        **(resolved.run.environment or {}),
        "FTTUI_RUN": PROBE,
        "FTTUI_RUN_DIR": str(run.path),
        "FTTUI_ATTEMPT": "1",
    }


def _wait_for(argv: list[str], environment: dict[str, str], log: int, cancelled: "Event | None") -> int:
    # The probe ends when its standard input does, which is also when this process is gone.
    process = subprocess.Popen(
        argv, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
    )
    deadline = time.monotonic() + LONGEST_SECONDS
    try:
        while True:
            try:
                return process.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                if cancelled is not None and cancelled.is_set():
                    raise ProbeCancelledError from None
                if time.monotonic() > deadline:
                    raise FttuiError(
                        f"the probe was given up after {LONGEST_SECONDS / 60:.0f} minutes",
                        "start the run with max_steps: 3; it records what it took, and fttui estimates shows it",
                    ) from None
    finally:
        # An interrupted probe leaves no training behind: all ranks are of its group.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdin:
            process.stdin.close()
