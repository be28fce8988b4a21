"""What was asked for shows at once, exactly once, and gives way to what really came of it."""

import time

from fttui.pending import PendingActions
from fttui.snapshot import Snapshot, harmless
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import summarize


def snapshot_of(*runs, taken_at):
    return Snapshot(taken_at, tuple(harmless(summarize(run)) for run in runs))


def states(snapshot):
    return {run.id: run.state for run in snapshot.runs}


def test_a_new_run_is_shown_until_its_directory_is_and_never_twice(make_run):
    older, now = make_run("older"), time.time()
    pending = PendingActions()
    pending.expect_new("demo ...", "demo", now)
    before = snapshot_of(older, taken_at=now + 0.01)
    assert states(pending.lay_over(before)) == {"demo ...": State.STARTING, "older": State.RUNNING}
    assert pending.awaits("demo ...")
    with_run = snapshot_of(older, make_run("demo", State.STARTING), taken_at=now + 0.1)
    assert states(pending.lay_over(with_run)) == {"demo": State.STARTING, "older": State.RUNNING}
    assert pending.new_id("demo ...", with_run) == "demo"


def test_an_older_run_of_the_same_name_is_not_taken_for_the_new_one(make_run):
    first, now = make_run("demo", State.FINISHED), time.time()
    pending = PendingActions()
    pending.expect_new("demo ...", "demo", now)
    assert "demo ..." in states(pending.lay_over(snapshot_of(first, taken_at=now)))


def test_a_failed_start_is_taken_back_at_once():
    pending, now = PendingActions(), time.time()
    pending.expect_new("demo ...", "demo", now)
    pending.end("demo ...", now, failed=True, run_id=None)
    assert states(pending.lay_over(Snapshot(now))) == {}
    assert not pending.awaits("demo ...")


def test_a_started_run_is_awaited_until_a_later_snapshot(make_run):
    pending, now = PendingActions(), time.time()
    pending.expect_new("demo ...", "demo", now)
    pending.end("demo ...", now + 1, failed=False, run_id="demo.2")
    pending.lay_over(Snapshot(now + 0.5))
    assert pending.awaits("demo.2")
    pending.lay_over(Snapshot(now + 2))
    assert not pending.awaits("demo.2")


def test_a_run_that_ended_meanwhile_is_not_shown_as_stopping(make_run):
    pending, now = PendingActions(), time.time()
    live, ended = make_run("live"), make_run("ended", State.FINISHED)
    for name in ("live", "ended"):
        pending.expect(name, State.STOPPING, now)
    shown = states(pending.lay_over(snapshot_of(live, ended, taken_at=now)))
    assert shown == {"live": State.STOPPING, "ended": State.FINISHED}


def test_a_resumed_run_shows_as_starting_until_it_runs(make_run):
    pending, now = PendingActions(), time.time()
    pending.expect("ended", State.STARTING, now)
    ended = make_run("ended", State.STOPPED)
    assert states(pending.lay_over(snapshot_of(ended, taken_at=now))) == {"ended": State.STARTING}
    running = make_run("again")
    pending.expect("again", State.STARTING, now)
    assert states(pending.lay_over(snapshot_of(running, taken_at=now)))["again"] is State.RUNNING
