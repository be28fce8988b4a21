"""A program that prints without end fills no disk, is not disturbed, and what is missing of its log is named."""

from fttui_engine.runs.states import State
from run_driver import Driver

MOST_BYTES = 2**20


def test_a_log_keeps_its_beginning_and_its_end_below_its_size(driver: Driver) -> None:
    script = "echo the first line; yes many lines | head -c 20000000; echo; echo the last line"
    run = driver.start(script, log_max_bytes=MOST_BYTES)
    assert driver.end(run).state is State.FINISHED
    log = run.attempt(1).log_path
    assert log.stat().st_blocks * 512 < MOST_BYTES
    assert "its middle is cut out" in driver.happened(run, "log_cut").message
    lines = driver.cli("logs", run.id, check=0).stdout.splitlines()
    assert (lines[0], lines[-1]) == ("the first line", "the last line")
    assert sum("bytes are missing here: the log grew beyond run.log_max_bytes" in line for line in lines) == 1
