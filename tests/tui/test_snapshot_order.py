"""The order of the runs in the table."""

from fttui.snapshot import in_order, placeholder
from fttui_engine.runs.states import State


def test_the_queue_stands_below_what_runs_in_the_order_of_its_arrival():
    runs = [
        placeholder(name, created_at)._replace(state=state, started_at=None, ended_at=None)
        for name, created_at, state in [
            ("done", 9.0, State.FINISHED),
            ("second", 5.0, State.QUEUED),
            ("old", 1.0, State.RUNNING),
            ("first", 4.0, State.QUEUED),
            ("new", 6.0, State.STARTING),
        ]
    ]
    assert [run.id for run in in_order(runs)] == ["new", "old", "first", "second", "done"]
