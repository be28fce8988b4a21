"""Real workers on the real tiny model, in run directories made by hand; no supervisor in between."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import fttui_engine
from fttui_engine.runs.attempt import Attempt, Launch, Outcome, Request
from fttui_engine.runs.checkpoints import Checkpoint, list_checkpoints
from fttui_engine.runs.metrics import read_metrics
from fttui_engine.runs.run import Run

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Two training steps of the tiny model take less than 0.2 s on one busy core; loading takes up to 30 s on a loaded one.
PATIENCE_SECONDS = 120.0


class Worker:
    """One run and its attempts."""

    def __init__(self, path: Path, home: Path, values: dict[str, Any]) -> None:
        path.mkdir(parents=True)
        self.run = Run(path)
        self.output_dir = path / "checkpoints"
        self.values = {
            "model_name_or_path": "demo:tiny",
            "dataset": ["demo:instructions"],
            "output_dir": str(self.output_dir),
            "use_cpu": True,
            "gradient_checkpointing": False,
            "cutoff_len": 128,
        } | values
        content = {"schema": 1, "values": self.values, "origins": {}}
        self.run.spec_path.write_text(yaml.safe_dump(content))
        self._home = home
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        resume_from: Path | None = None,
        prefix: tuple[str, ...] = (),
        settings: dict[str, Any] | None = None,
    ) -> Attempt:
        """Start the next attempt as the supervisor would."""
        attempt = self.run.attempt(self.run.latest_attempt_number() + 1)
        attempt.create(Request("newest" if resume_from else "scratch", settings=settings))
        argv = [*prefix, sys.executable, "-P", "-m", "fttui_engine.train"]
        step = int(resume_from.name.rpartition("-")[2]) if resume_from else None
        attempt.write_launch(
            Launch(argv, {}, str(self.run.path), str(resume_from) if resume_from else None, step)
        )
        environment = os.environ | {
            "FTTUI_HOME": str(self._home),
            "FTTUI_RUN": self.run.id,
            "FTTUI_RUN_DIR": str(self.run.path),
            "FTTUI_ATTEMPT": str(attempt.number),
            "PYTHONPATH": str(Path(fttui_engine.__file__).parents[1]),
        }
        with attempt.log_path.open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    argv, env=environment, cwd=self.run.path, stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
            )
        return attempt

    def wait(self) -> int:
        """Wait for the latest attempt and return its exit code."""
        return self._processes[-1].wait(PATIENCE_SECONDS)

    def finish(self, resume_from: Path | None = None) -> Outcome:
        """Run one attempt to its end."""
        return self.ended(self.start(resume_from))

    def ended(self, attempt: Attempt) -> Outcome:
        """Wait for an attempt and return its outcome, which its exit code must agree with."""
        code = self.wait()
        outcome = attempt.read_outcome()
        log = attempt.log_path.read_text()
        assert outcome is not None, log
        assert code == (1 if outcome.result == "failed" else 0), log
        return outcome

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Poll until something is true of the running worker."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self._processes[-1].poll() is None, f"the worker ended before {what}"
            assert time.monotonic() < end, f"waited in vain for {what}"
            time.sleep(0.005)

    def reach(self, step: int) -> None:
        """Wait until the latest attempt has logged a step as high as this."""
        number = self.run.latest_attempt_number()
        self.wait_for(
            lambda: any(point["step"] >= step and point["attempt"] == number for point in self.metrics()),
            f"step {step}",
        )

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the latest attempt."""
        self._processes[-1].send_signal(number)

    def metrics(self) -> list[dict[str, Any]]:
        """Return what is in metrics.jsonl."""
        return read_metrics(self.run.metrics_path)

    def checkpoints(self) -> list[Checkpoint]:
        """Return the sealed checkpoints."""
        return [checkpoint for checkpoint in list_checkpoints(self.output_dir) if checkpoint.complete]

    def close(self) -> None:
        """Leave no process behind."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of this session; the tiny model in it is made once."""
    folder = tmp_path_factory.mktemp("home")
    before = os.environ.get("FTTUI_HOME")
    os.environ["FTTUI_HOME"] = str(folder)
    yield folder
    os.environ.pop("FTTUI_HOME")
    if before is not None:
        os.environ["FTTUI_HOME"] = before


@pytest.fixture(scope="session")
def tiny_model(home: Path) -> Path:
    """The folder of the tiny model."""
    from fttui_engine.train.demo import demo_model_path

    return demo_model_path()


@pytest.fixture(scope="session")
def tokenizer(tiny_model: Path) -> Any:
    """The tiny model's tokenizer, which has ChatML as its template."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture
def worker(tmp_path: Path, home: Path) -> Iterator[Callable[..., Worker]]:
    """Makes runs; kills what is left of them."""
    workers: list[Worker] = []

    def make(name: str = "run", **values: Any) -> Worker:
        workers.append(Worker(tmp_path / name, home, values))
        return workers[-1]

    yield make
    for each in workers:
        each.close()


@pytest.fixture(scope="session")
def rank_server() -> Iterator[Any]:
    """One process that has imported everything, of which all ranks of this session are forks."""
    from ranked_runs import Server

    server = Server()
    yield server
    server.close()


@pytest.fixture
def ranked(rank_server: Any, home: Path, tiny_model: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Makes runs of several ranks; ends what is left of them."""
    from ranked_runs import COMMON, RankedRun

    runs: list[Any] = []

    def make(name: str, **values: Any) -> Any:
        runs.append(RankedRun(tmp_path / name, home, COMMON | values, rank_server))
        return runs[-1]

    yield make
    for run in runs:
        run.close()


@pytest.fixture(scope="session")
def without_dropout(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model without dropout: what it learns does not depend on how the batch is shared."""
    folder = tmp_path_factory.mktemp("model") / "plain"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.0}))
    return str(folder)
