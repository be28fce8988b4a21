"""A run that is stopped, killed and finds its newest checkpoint damaged ends with the losses of an undisturbed one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fttui_engine.runs.checkpoints import list_checkpoints
from fttui_engine.runs.events import read_events
from fttui_engine.runs.metrics import read_metrics
from fttui_engine.runs.run import Run
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import summarize

STEPS = 40
CONFIG = f"""
model_name_or_path: demo:tiny
dataset: demo:instructions
finetuning_type: lora
lora_dropout: 0.1
max_steps: {STEPS}
save_steps: 5
per_device_train_batch_size: 2
gradient_accumulation_steps: 2
learning_rate: 1.0e-3
"""


class Fttui:
    """The command line with a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "state"

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "fttui", *words],
            cwd=self.folder,
            env={**os.environ, "FTTUI_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, name: str) -> Run:
        (self.folder / "run.yaml").write_text(CONFIG)
        return Run(Path(json.loads(self("start", "run.yaml", "--name", name, "--json"))["run_dir"]))


@pytest.fixture(scope="module")
def fttui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fttui]:
    command = Fttui(tmp_path_factory.mktemp("exact"))
    yield command
    for run in json.loads(command("ls", "--json")):
        if State(run["state"]).is_live:
            command("stop", "--now", run["id"])


@pytest.fixture(scope="module")
def straight(fttui: Fttui) -> dict[int, float]:
    """The losses of a run that nothing happened to."""
    run = fttui.start("straight")
    fttui("wait", run.id)
    losses = losses_of(run)
    assert list(losses) == list(range(1, STEPS + 1))
    assert len(set(losses.values())) == STEPS
    return losses


def losses_of(run: Run) -> dict[int, float]:
    return {point["step"]: point["loss"] for point in read_metrics(run.metrics_path)}


def wait_for_step(run: Run, step: int) -> None:
    deadline = time.monotonic() + 90
    while max(losses_of(run), default=0) < step:
        assert summarize(run).state.is_live, summarize(run).exit
        assert time.monotonic() < deadline, f"step {step} was not reached"
        time.sleep(0.02)


def kill_at(fttui: Fttui, run: Run, step: int) -> None:
    wait_for_step(run, step)
    pid = summarize(run).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    subprocess.run(
        [sys.executable, "-m", "fttui", "wait", run.id],
        env={**os.environ, "FTTUI_HOME": str(fttui.home)},
        check=False,
        capture_output=True,
    )
    summary = summarize(run)
    assert summary.state is State.FAILED and summary.exit
    assert summary.exit.signal == signal.SIGKILL and "SIGKILL" in summary.exit.message


def test_stop_and_resume_is_exact(fttui: Fttui, straight: dict[int, float]) -> None:
    run = fttui.start("stopped")
    wait_for_step(run, 14)
    fttui("stop", run.id)
    fttui("wait", run.id)
    stopped = summarize(run)
    assert stopped.state is State.STOPPED and stopped.step and 14 <= stopped.step < 25
    assert [checkpoint.step for checkpoint in stopped.checkpoints if checkpoint.complete][-1] == stopped.step

    fttui("resume", run.id)
    fttui("wait", run.id)
    assert summarize(run).state is State.FINISHED
    assert losses_of(run) == straight


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_bytes(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    for position in range(middle, min(middle + 8, len(content))):
        content[position] ^= 0xFF
    path.write_bytes(bytes(content))


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("name", "damage"),
    [("optimizer.pt", truncate), ("adapter_model.safetensors", flip_bytes), ("scheduler.pt", remove)],
)
def test_killed_and_with_a_damaged_checkpoint_it_is_exact(
    fttui: Fttui, straight: dict[int, float], name: str, damage: Callable[[Path], Any]
) -> None:
    run = fttui.start(f"killed-{damage.__name__}")
    kill_at(fttui, run, 17)
    newest = list_checkpoints(run.output_dir)[-1]
    before = [checkpoint.step for checkpoint in list_checkpoints(run.output_dir) if checkpoint.complete][-2]
    damage(newest.path / name)

    fttui("resume", run.id)
    fttui("wait", run.id)
    assert summarize(run).state is State.FINISHED
    assert losses_of(run) == straight
    rejected = [event for event in read_events(run.events_path) if event.event == "checkpoint_rejected"]
    assert len(rejected) == 1 and newest.path.name in rejected[0].message and name in rejected[0].message
    chosen = [event for event in read_events(run.events_path) if event.event == "start_chosen"]
    assert chosen[-1].data["step"] == before
