"""The kernel ends a run's program for want of memory: in a memory cgroup of its own, as in a container."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fttui_engine.runs.states import State
from run_driver import Driver

LIMIT_BYTES = 64 * 2**20
EATS = """
import os, sys, time
from pathlib import Path
Path(sys.argv[1]).write_text("0")
while not Path(os.environ["FTTUI_RUN_DIR"], "go").exists():
    time.sleep(0.05)
held = [bytes(2**20) + b"x" for _ in range(400)]
"""
ROOTS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    for root, limit in ROOTS:
        group = root / f"fttui-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(LIMIT_BYTES))
        except OSError:
            group.rmdir()
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("no memory cgroup can be made here")


def test_program_that_the_kernel_ends_is_told_as_such(driver: Driver, small_cgroup: Path) -> None:
    run = driver.start_argv([sys.executable, "-c", EATS, str(small_cgroup / "cgroup.procs")])
    driver.reach(run, State.RUNNING)
    (run.path / "go").touch()
    state = driver.end(run)
    assert state.exit is not None
    assert (state.state, state.exit.kind) == (State.FAILED, "oom_host")
    assert "memory" in state.exit.message
