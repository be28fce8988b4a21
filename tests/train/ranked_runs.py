"""Runs of several ranks in tests: one process imports everything, and forks the ranks of every attempt."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fttui_engine
from conftest import PATIENCE_SECONDS, Worker
from fttui_engine.runs.attempt import Launch, Request
from several_runs import numbers

COMMON = {
    "max_steps": 14,
    "save_steps": 5,
    "logging_steps": 3,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    # 39 examples are 4 steps of 8 and one of 7, in which one rank has a batch that is not full.
    "max_samples": 44,
    "val_size": 5,
    "eval_strategy": "steps",
    "eval_steps": 4,
    "per_device_eval_batch_size": 2,
    "learning_rate": 3e-3,
    "lr_scheduler_type": "cosine",
    "run": {"processes": 2},
}


class Server:
    """A process that has imported everything and forks the ranks of each attempt."""

    def __init__(self):
        program = Path(__file__).with_name("rank_server.py")
        environment = os.environ | {"PYTHONPATH": str(Path(fttui_engine.__file__).parents[1])}
        self._process = subprocess.Popen(
            [sys.executable, str(program)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait(PATIENCE_SECONDS)
        self._process.stdout.close()


class RankedRun(Worker):
    """A run whose attempts have any number of ranks."""

    def __init__(self, path, home, values, server):
        super().__init__(path, home, values)
        self.server = server

    def start(self, resume_from=None, ranks=2, place=None):
        attempt = self.run.attempt(self.run.latest_attempt_number() + 1)
        attempt.create(Request("newest" if resume_from else "scratch"))
        step = int(resume_from.name.rpartition("-")[2]) if resume_from else None
        folder = str(resume_from) if resume_from else None
        attempt.write_launch(Launch(["worker"], {}, str(self.run.path), folder, step))
        self.pid = self.launch(attempt, place, ranks)
        return attempt

    def launch(self, attempt, place=None, ranks=2):
        """Start the ranks of an attempt, or those of one host of several; return the launcher's pid."""
        environment = {
            "FTTUI_HOME": str(self._home),
            "FTTUI_RUN": self.run.id,
            "FTTUI_RUN_DIR": str(self.run.path),
            "FTTUI_ATTEMPT": str(attempt.number),
            # As a run on the CPU gets it: FSDP2 would divide among GPUs that it sees.
            "CUDA_VISIBLE_DEVICES": "",
        }
        pid: int = self.server.ask(environment=environment, ranks=ranks, place=place)["pid"]
        return pid

    def wait(self):
        code = self.server.ask(wait=self.pid)["code"]
        self.pid = None
        return code

    def wait_for(self, condition, what):
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self.run.attempts()[-1].read_outcome() is None, f"the run ended before {what}"
            assert time.monotonic() < end, f"waited in vain for {what}"
            time.sleep(0.005)

    def rank_pids(self):
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def finish(self, resume_from=None, ranks=2):
        return self.ended(self.start(resume_from, ranks))

    def copy(self, name):
        """Return a run with this one's checkpoints and metrics, to go on in another way."""
        values = {key: value for key, value in self.values.items() if key != "output_dir"}
        other = RankedRun(self.run.path.with_name(name), self._home, values, self.server)
        shutil.copytree(self.output_dir, other.output_dir)
        shutil.copyfile(self.run.metrics_path, other.run.metrics_path)
        return other

    def close(self):
        if getattr(self, "pid", None):
            os.kill(self.pid, signal.SIGTERM)
            self.wait()


def assert_same_training(one, other, counts=("step", "epoch", "tokens"), tolerance=1e-6):
    """The same steps, the same tokens, and losses that differ by rounding only."""
    first, second = one.metrics(), other.metrics()
    assert [[point.get(name) for name in counts] for point in first] == [
        [point.get(name) for name in counts] for point in second
    ]
    for point, its_twin in zip(first, second, strict=True):
        for name, allowed in (("loss", tolerance), ("eval_loss", tolerance), ("grad_norm", 1e-4)):
            if name in its_twin:
                assert point[name] == pytest.approx(its_twin[name], rel=allowed), (name, point, its_twin)


def assert_same_measures(one, other):
    """The same rewards, log-probabilities and drift, but for rounding."""
    for point, its_twin in zip(numbers(one), numbers(other), strict=True):
        assert set(point) == set(its_twin)
        for name in point:
            if "/" in name or name.endswith("kl"):
                expected = pytest.approx(its_twin[name], rel=1e-4, abs=1e-4)
                assert point[name] == expected, (name, point, its_twin)
    assert any(abs(point.get("kl", point.get("rewards/margins", 0.0))) > 0.1 for point in numbers(one))


def assert_divided(run):
    """Each of two ranks holds half of the weights; accelerate would keep them whole on a CPU, with the same losses."""
    assert "fsdp: this process holds 50% of the weights" in run.run.attempt(1).log_path.read_text()
