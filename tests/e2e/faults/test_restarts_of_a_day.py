"""A run that gets on a little before each failure: restarted again and again, but not for ever."""

from fttui_engine.runs.states import State
from fttui_engine.supervise.restarts import MOST_PER_DAY
from run_driver import Driver


def test_slow_crash_is_parked_after_the_restarts_of_a_day(driver: Driver) -> None:
    run = driver.start("exit 3", restart_max=1000, restart_backoff_seconds=0.0)
    state = driver.end(run, 60.0)
    assert state.exit is not None
    assert (state.state, state.attempt) == (State.PARKED, MOST_PER_DAY + 1)
    assert f"restarted {MOST_PER_DAY} times within a day" in state.exit.message
