"""Several runs in one process, and what has to be equal of a resumed run and a straight one."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fttui_engine
from conftest import PATIENCE_SECONDS, Worker
from fttui_engine.runs.attempt import Launch, Request

# Attempts one after the other in one process: importing torch for each would take most of the time.
SEVERAL = """
import os, sys
# The first run would hide it from those that need it.
sys.modules["kernels"] = None
import bitsandbytes
from fttui_engine.train.__main__ import main
for folder in sys.argv[1:]:
    os.environ["FTTUI_RUN_DIR"] = folder
    with open(folder + "/attempts/001/log", "w") as log:
        os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
    main()
"""


def prepare(run: Worker, resume_from: Path | None = None) -> None:
    """Make the first attempt of a run, as the supervisor would."""
    attempt = run.run.attempt(1)
    attempt.create(Request("newest" if resume_from else "scratch"))
    step = int(resume_from.name.rpartition("-")[2]) if resume_from else None
    attempt.write_launch(
        Launch([sys.executable], {}, str(run.run.path), str(resume_from) if resume_from else None, step)
    )


def run_all(runs: list[Worker], home: Path) -> None:
    environment = os.environ | {
        "FTTUI_HOME": str(home),
        "FTTUI_ATTEMPT": "1",
        "PYTHONPATH": str(Path(fttui_engine.__file__).parents[1]),
    }
    folders = [str(run.run.path) for run in runs]
    subprocess.run(
        [sys.executable, "-c", SEVERAL, *folders], env=environment, timeout=5 * PATIENCE_SECONDS, check=True
    )
    for run in runs:
        outcome = run.run.attempt(1).read_outcome()
        assert outcome is not None
        assert outcome.result == "finished", run.run.attempt(1).log_path.read_text()


def numbers(run: Worker) -> list[dict[str, Any]]:
    """Everything in the metrics that is not a time."""
    times = ("time", "tokens_per_second", "step_seconds", "attempt")
    return [
        {
            name: value
            for name, value in point.items()
            if name not in times and not name.endswith(("_runtime", "_per_second"))
        }
        for point in run.metrics()
    ]


def weights(run: Worker) -> dict[str, str]:
    files = sorted(run.output_dir.glob("*.safetensors"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
