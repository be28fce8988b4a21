"""A run at one moment: what a viewer sees between two attempts."""

from pathlib import Path

import pytest

from fttui_engine.runs.attempt import NEWEST, SCRATCH, Progress, Request
from fttui_engine.runs.journal import Journal
from fttui_engine.runs.run import Plan, Run
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import summarize


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose first attempt came to step 17 of 40 and failed."""
    run = Run(tmp_path / "runs" / "r")
    run.path.mkdir(parents=True)
    run.write_plan(Plan("r", "train", ["true"], {}, "/", str(run.checkpoints_dir), None, 60.0))
    run.attempt(1).create(Request(SCRATCH))
    run.attempt(1).write_progress(Progress("train", 17, 40, 1.5, 2.5, 900.0, 0.1, 2.3))
    Journal(run).move(State.STARTING, "created", "", attempt=1)
    Journal(run).move(State.FAILED, "failed", "")
    return run


def test_a_resumed_run_stands_where_it_was_until_it_trains_again(run: Run) -> None:
    run.attempt(2).create(Request(NEWEST))
    Journal(run).move(State.STARTING, "resume_requested", "", attempt=2)
    for progress in (None, Progress("loading")):
        if progress:
            run.attempt(2).write_progress(progress)
        summary = summarize(run)
        assert (summary.step, summary.max_steps, summary.loss, summary.epoch) == (17, 40, 2.5, 1.5)
        assert (summary.tokens_per_second, summary.eta_seconds) == (None, None)
    run.attempt(2).write_progress(Progress("train", 10, 40))
    assert summarize(run).step == 10


def test_a_restarted_run_does_not_show_the_steps_that_it_gave_up(run: Run) -> None:
    run.attempt(2).create(Request(SCRATCH))
    Journal(run).move(State.STARTING, "restart_requested", "", attempt=2)
    assert summarize(run).step is None
