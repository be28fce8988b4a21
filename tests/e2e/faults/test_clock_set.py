"""The wall clock is set while a run lives: nothing that waits for a time waits longer, or ends sooner, for it."""

import time

from faulty_libc import FaultyLibc

from fttui_engine.runs.journal import read_state
from fttui_engine.runs.states import State
from fttui_engine.supervise import control
from run_driver import Driver, until

THREE_DAYS = 3 * 86400
DEAF = "trap '' TERM; echo deaf; while :; do sleep 0.05; done"


def test_clock_set_forward_ends_nothing(driver: Driver, libc: FaultyLibc) -> None:
    run = driver.running("exec sleep 600")
    pids = [driver.pid(run, role) for role in ("keeper", "supervisor", "process")]
    libc.becomes(f"clock={THREE_DAYS}")
    assert driver.show(run)["state"] == "running"
    time.sleep(0.6)  # two looks of the supervisor
    assert [driver.pid(run, role) for role in ("keeper", "supervisor", "process")] == pids
    assert [event.event for event in driver.events(run)][-1] == "running"


def test_clock_set_back_does_not_prolong_a_grace_period(driver: Driver, libc: FaultyLibc) -> None:
    run = driver.running(DEAF, grace_seconds=1.0)
    driver.says(run, "deaf")
    control.stop(run)
    libc.becomes("clock=-3600")
    assert driver.end(run, 10.0).state is State.STOPPED


def test_clock_set_back_does_not_put_off_a_restart(driver: Driver, libc: FaultyLibc) -> None:
    run = driver.start('[ "$FTTUI_ATTEMPT" = 2 ]', restart_max=1, restart_backoff_seconds=1.5)
    until(lambda: "restarts in" in read_state(run).detail, "the wait for the next attempt")
    libc.becomes("clock=-3600")
    state = driver.end(run, 10.0)
    assert (state.state, state.attempt) == (State.FINISHED, 2)


def test_clock_set_forward_does_not_cut_a_wait_short(driver: Driver, libc: FaultyLibc) -> None:
    run = driver.start("exit 3", restart_max=1, restart_backoff_seconds=600.0)
    until(lambda: "restarts in" in read_state(run).detail, "the wait for the next attempt")
    libc.becomes(f"clock={THREE_DAYS}")
    time.sleep(0.6)  # two looks of the supervisor
    assert read_state(run).attempt == 2 and not driver.log(run, 2)
    assert run.attempt(2).read_launch() is None
    control.stop(run)
    driver.end(run)
