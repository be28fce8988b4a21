"""A supervisor that is killed again and again, by a script or by a fault of its own."""

from itertools import pairwise

from fttui_engine.runs.states import State
from fttui_engine.supervise import control
from fttui_engine.supervise.keeper import QUICK_RESTARTS
from run_driver import Driver


def test_supervisor_killed_often_comes_back_ever_more_slowly_and_nothing_is_doubled(driver: Driver) -> None:
    run = driver.running("exec sleep 600")
    keeper, attempt = driver.pid(run, "keeper"), driver.pid(run, "process")
    killed = [driver.kill(run, "supervisor")[0] for _ in range(QUICK_RESTARTS + 3)]
    assert len(set(killed)) == len(killed)
    assert driver.pid(run, "keeper") == keeper and driver.pid(run, "process") == attempt
    control.stop(run)
    assert driver.end(run).state is State.STOPPED
    events = driver.events(run)
    assert [event.event for event in events].count("attempt_started") == 1
    assert all(earlier.seq < later.seq for earlier, later in pairwise(events))
