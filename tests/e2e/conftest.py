"""A state folder of one's own for each test, and the proof that nothing is left of it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import fttui
import fttui_engine
from run_driver import Driver, is_running, marked_processes, until


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """No process of a run, no zombie and no open file may outlive a test."""
    files_before = set(os.listdir("/proc/self/fd"))
    children_before = _children()
    yield
    try:
        until(lambda: not marked_processes(tmp_path), "the processes of all runs to go", 5.0)
    except AssertionError:
        left = marked_processes(tmp_path)
        told = [
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ") for pid in left if is_running(pid)
        ]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        raise AssertionError(f"left behind: {told}") from None
    zombies = [pid for pid in _children() - children_before if not is_running(pid)]
    assert not zombies, "children were not waited for"
    assert len(os.listdir("/proc/self/fd")) <= len(files_before) + 2, "files were left open"


def _children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder; every process that the test starts uses it, and the fttui that the test itself uses."""
    folder = tmp_path / "state"
    monkeypatch.setenv("FTTUI_HOME", str(folder))
    roots = dict.fromkeys(str(Path(package.__file__ or "").parents[1]) for package in (fttui_engine, fttui))
    if not all(root.endswith("site-packages") for root in roots):
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(roots))
    return folder


@pytest.fixture
def driver(home: Path) -> Iterator[Driver]:
    driver = Driver(home)
    yield driver
    driver.clear_away()
