"""A rank is killed, or the launcher of the ranks: noticed at once, nothing is left, and the next attempt comes in time.

The ranks are programs of a line or two under fttui's own launcher; they never notice that the other one is gone, as
with NCCL.
"""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from fttui_engine.runs.run import Run
from fttui_engine.runs.states import State
from fttui_engine.supervise import control
from run_driver import Driver, is_running, marked_processes, until

EMPTY_SECONDS = 3.0
BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 1.2 * BACKOFF_SECONDS
SPARE_SECONDS = 1.0
"""For two looks of the supervisor and the start of a process on a busy machine."""

RANK = """
import os, time
print("rank", os.environ["RANK"], os.environ["MASTER_PORT"], flush=True)
if os.environ["FTTUI_ATTEMPT"] == "1":
    time.sleep(600)
"""

SAVING_RANK = """
import os, time
from pathlib import Path
from fttui_engine.runs.attempt import Outcome, Progress
from fttui_engine.runs.run import Run
attempt = Run(Path(os.environ["FTTUI_RUN_DIR"])).attempt(1)
attempt.write_progress(Progress("train", 7, 100))
while not attempt.stop_requested():
    time.sleep(0.01)
attempt.write_outcome(Outcome("stopped", 7, 100, "Saved at step 7."))
"""


@pytest.fixture
def ranks(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of two ranks, started again once."""
    (tmp_path / "rank_program.py").write_text(RANK)
    monkeypatch.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{tmp_path}")
    argv = [sys.executable, "-P", "-m", "fttui_engine.train.ranks", "2", "rank_program"]
    run = driver.start_argv(argv, restart_max=1, restart_backoff_seconds=BACKOFF_SECONDS)
    driver.says(run, "rank 0")
    driver.says(run, "rank 1")
    driver.reach(run, State.RUNNING)
    return run


def pid_of_rank(run: Run, rank: int) -> int:
    mark = f"\0RANK={rank}\0".encode()
    return next(
        pid for pid in marked_processes(run.path) if mark in Path(f"/proc/{pid}/environ").read_bytes()
    )


@pytest.mark.parametrize("rank", [0, 1])
def test_killed_rank_takes_the_others_with_it_and_the_next_attempt_comes_in_time(
    driver: Driver, ranks: Run, rank: int
) -> None:
    pids = [pid_of_rank(ranks, 0), pid_of_rank(ranks, 1), driver.pid(ranks, "process")]
    killed_at = time.time()
    os.kill(pids[rank], signal.SIGKILL)
    until(lambda: not any(map(is_running, pids)), "nothing of the attempt to be left", EMPTY_SECONDS)
    state = driver.end(ranks)
    assert (state.state, state.attempt) == (State.FINISHED, 2)
    planned = driver.happened(ranks, "restart_planned")
    started = driver.happened(ranks, "attempt_started")
    assert planned and started
    assert f"Rank {rank} of 2" in planned.message and "SIGKILL" in planned.message
    assert planned.time - killed_at < EMPTY_SECONDS + SPARE_SECONDS
    assert started.time - planned.time < LONGEST_BACKOFF_SECONDS + SPARE_SECONDS


def test_killed_launcher_leaves_no_rank(driver: Driver, ranks: Run) -> None:
    pids = [pid_of_rank(ranks, 0), pid_of_rank(ranks, 1)]
    os.kill(driver.pid(ranks, "process"), signal.SIGKILL)
    until(lambda: not any(map(is_running, pids)), "the orphans to be ended", EMPTY_SECONDS)
    state = driver.end(ranks)
    assert (state.state, state.attempt) == (State.FINISHED, 2)
    assert driver.happened(ranks, "leftovers_killed")


def test_port_in_use_is_passed_by(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rank_program.py").write_text(RANK)
    monkeypatch.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{tmp_path}")
    monkeypatch.setenv("FTTUI_ATTEMPT", "2")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        argv = [sys.executable, "-P", "-m", "fttui_engine.train.ranks", "2", "rank_program"]
        run = driver.start_argv(argv, environment={"MASTER_PORT": port})
        driver.says(run, "rank 0")
        assert port not in driver.says(run, "rank 1")


def test_stop_that_the_ranks_heard_though_their_launcher_was_killed_is_a_stop(
    driver: Driver, tmp_path: Path
) -> None:
    program = tmp_path / "rank.py"
    program.write_text(SAVING_RANK)
    run = driver.start(f"{sys.executable} {program} & wait", kind="train")
    driver.reach(run, State.RUNNING)
    os.kill(driver.pid(run, "process"), signal.SIGKILL)
    until(lambda: run.attempt(1).read_exit(), "the launcher to be gone")
    control.stop(run)
    state = driver.end(run)
    assert state.exit is not None
    assert (state.state, state.exit.message) == (State.STOPPED, "Saved at step 7.")
