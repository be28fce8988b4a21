"""A run in two processes through the command line: one of them is killed, all are, it goes on in one, nothing is left."""

import os
import signal
from pathlib import Path

from fttui_engine.runs.checkpoints import list_checkpoints
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.metrics import read_metrics
from fttui_engine.runs.run import Run, find_run
from fttui_engine.runs.states import State
from run_driver import Driver, is_running, marked_processes, until

CONFIG = """
model_name_or_path: demo:tiny
dataset: demo:instructions
finetuning_type: lora
max_steps: 100000
save_steps: 4
save_total_limit: 3
per_device_train_batch_size: 2
gradient_accumulation_steps: 2
cutoff_len: 64
use_cpu: true
run:
  processes: 2
"""
PATIENCE_SECONDS = 120.0


def reach(run: Run, attempt: int, step: int) -> None:
    """Wait until an attempt has logged a step that far behind its first one."""

    def far_enough() -> bool:
        state = read_state(run)
        assert state.state.is_live, state.exit
        steps = [point["step"] for point in read_metrics(run.metrics_path) if point["attempt"] == attempt]
        return bool(steps) and steps[-1] - steps[0] >= step

    until(far_enough, f"step {step} of attempt {attempt}", PATIENCE_SECONDS)


def rank_pids(run: Run) -> dict[int, int]:
    """Return the pid of every living rank."""
    found = {}
    for pid in marked_processes(run.path):
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        for entry in environment:
            if entry.startswith(b"RANK="):
                found[int(entry.removeprefix(b"RANK="))] = pid
    return found


def test_two_processes_are_killed_stopped_and_resumed(driver: Driver, tmp_path: Path) -> None:
    config = tmp_path / "two.yaml"
    config.write_text(CONFIG)
    driver.cli("start", config, "--name", "two", check=0)
    run = find_run("two", driver.home)
    reach(run, 1, 8)
    ranks = rank_pids(run)
    assert sorted(ranks) == [0, 1]
    os.kill(ranks[1], signal.SIGKILL)
    failed = driver.end(run, 30.0)
    assert failed.state is State.FAILED
    assert failed.exit is not None
    assert "Rank 1 of 2" in failed.exit.message
    assert "SIGKILL" in failed.exit.message
    assert not any(map(is_running, ranks.values()))

    # The log tells the ranks apart.
    assert "2 processes share the work by ddp" in driver.log(run)
    assert "8 per step (2 x 2 x 2 processes)" in driver.log(run)

    driver.cli("resume", "two", check=0)
    reach(run, 2, 2)
    assert sorted(rank_pids(run)) == [0, 1]
    driver.cli("stop", "two", "--now", check=0)
    assert driver.end(run, 30.0).state is State.STOPPED

    refused = driver.cli("resume", "two", "--processes", "3", check=2)
    assert "cannot share equally" in refused.stderr
    assert "1 instead of 2 processes" in driver.cli("resume", "two", "--processes", "1", check=0).stderr
    reach(run, 3, 2)
    assert rank_pids(run) == {}
    driver.cli("stop", "two", check=0)
    stopped = driver.end(run, 60.0)
    assert stopped.state is State.STOPPED
    assert "8 per step (2 x 4)" in driver.log(run, 3)
    newest = list_checkpoints(run.output_dir)[-1]
    assert newest.complete
    assert stopped.exit is not None
    assert f"step {newest.step} " in stopped.exit.message
    points = [point["step"] for point in read_metrics(run.metrics_path)]
    assert points == list(range(1, newest.step + 1)), "every step once, over three attempts"
