"""A stop waits for a checkpoint that is being written, however short the grace, and not for one that is not."""

import sys

from fttui_engine.runs.states import State
from run_driver import Driver, until

# Says that it saves, or that it trains, for a moment after the stop was asked for.
WORKER = """
import os, sys, time
from pathlib import Path
from fttui_engine.runs.attempt import Outcome, Progress
from fttui_engine.runs.run import Run
attempt = Run(Path(os.environ["FTTUI_RUN_DIR"])).attempt(int(os.environ["FTTUI_ATTEMPT"]))
attempt.write_progress(Progress("train", 7, 100))
while not attempt.stop_requested():
    time.sleep(0.02)
attempt.write_progress(Progress(sys.argv[1], 7, 100))
time.sleep(1.5)
attempt.write_outcome(Outcome("stopped", 7, 100, "Saved and stopped at step 7."))
"""


def test_a_save_under_way_is_not_cut_short(driver: Driver) -> None:
    run = driver.start_argv([sys.executable, "-c", WORKER, "save"], kind="train", grace_seconds=0.5)
    driver.reach(run, State.RUNNING)
    driver.cli("stop", run.id, check=0)
    state = driver.end(run)
    assert state.state is State.STOPPED and state.exit
    assert state.exit.message == "Saved and stopped at step 7."
    assert driver.happened(run, "grace_extended")
    assert not driver.happened(run, "grace_over")


def test_a_step_that_overstays_its_grace_is_ended(driver: Driver) -> None:
    run = driver.start_argv([sys.executable, "-c", WORKER, "train"], kind="train", grace_seconds=0.5)
    driver.reach(run, State.RUNNING)
    driver.cli("stop", run.id, check=0)
    assert until(lambda: driver.happened(run, "grace_over"), "the end of the grace", 2.0)
    assert driver.end(run).state is State.STOPPED


def test_a_save_that_began_before_a_kill_is_cut_short(driver: Driver) -> None:
    run = driver.start_argv([sys.executable, "-c", WORKER, "save"], kind="train", grace_seconds=30.0)
    driver.reach(run, State.RUNNING)
    driver.cli("stop", run.id, check=0)
    driver.cli("stop", "--now", run.id, check=0)
    state = driver.end(run, 2.0)
    assert state.exit and state.exit.kind == "killed"
