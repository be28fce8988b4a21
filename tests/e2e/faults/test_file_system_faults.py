"""What file systems do: no locks, stale handles, no room for state files, a quota, errors of the disk, a mount that is gone."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_libc import FaultyLibc
from small_disk import SmallDisk

from fttui_engine.runs.journal import read_state
from fttui_engine.runs.states import State
from fttui_engine.supervise import control
from run_driver import Driver, is_running, until

EIO, ENOLCK, ESTALE, EDQUOT = 5, 37, 116, 122
WAITS = 'until [ -e "$GO" ]; do sleep 0.05; done; exit 3'


def test_without_locks_runs_are_started_stopped_and_resumed(driver: Driver, libc: FaultyLibc) -> None:
    libc.becomes(f"flock={ENOLCK}")
    script = '[ "$FTTUI_ATTEMPT" = 2 ] || exec sleep 600'
    driver.cli("start", "--name", "r", "--", "sh", "-c", script, check=0)
    until(lambda: driver.show("r")["state"] == "running", "the run")
    driver.cli("stop", "r", check=0)
    driver.cli("resume", "r", check=0)
    driver.cli("wait", "r", check=0)
    assert (driver.show("r")["state"], driver.show("r")["attempt"]) == ("finished", 2)


def test_file_handle_that_went_stale_ends_nothing(driver: Driver, libc: FaultyLibc) -> None:
    run = driver.running("exec sleep 600")
    attempt = driver.pid(run, "process")
    libc.becomes(f"open={ESTALE}")
    assert "running" in driver.cli("ls", check=0).stdout
    (killed,) = driver.kill(run, "supervisor")
    until(lambda: driver.pid(run, "supervisor") != killed, "a supervisor that got over it")
    driver.cli("stop", run.id, check=0)
    assert driver.end(run).state is State.STOPPED and not is_running(attempt)
    assert not {"state_rebuilt", "plan_damaged"} & {event.event for event in driver.events(run)}


@pytest.mark.parametrize("fault", [f"fsync={EIO}", f"write={EDQUOT}"])
def test_disk_that_takes_nothing_refuses_a_start_and_leaves_what_runs(
    driver: Driver, libc: FaultyLibc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    go = tmp_path / "go"
    monkeypatch.setenv("GO", str(go))
    run = driver.running(WAITS)
    attempt = driver.pid(run, "process")
    libc.becomes(fault)
    refused = driver.cli("start", "--name", "other", "--", "true", check=1).stderr
    assert "Input/output error" in refused or "Disk quota exceeded" in refused
    assert driver.cli("stop", run.id).returncode != 0
    assert is_running(attempt)
    go.touch()
    until(lambda: not is_running(attempt), "the attempt to end while nothing can be written")
    libc.becomes("")
    state = driver.end(run, 30.0)
    assert state.exit is not None
    assert (state.state, state.exit.code) == (State.FAILED, 3)
    assert [path.name for path in (driver.home / "runs").iterdir()] == [run.id], "no half run is left"


@pytest.mark.parametrize(
    ("break_disk", "mend_disk", "refusal"),
    [
        (SmallDisk.fill, SmallDisk.make_room, (1, "No space left on device")),
        (SmallDisk.forbid_writing, SmallDisk.allow_writing, (2, "is not writable")),
    ],
    ids=["full", "read-only"],
)
def test_state_disk_that_is_full_or_read_only_loses_no_verdict(
    state_disk: SmallDisk,
    driver: Driver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    break_disk: Callable[[SmallDisk], None],
    mend_disk: Callable[[SmallDisk], None],
    refusal: tuple[int, str],
) -> None:
    go = tmp_path / "go"
    monkeypatch.setenv("GO", str(go))
    run = driver.running("while :; do echo counting; [ -e $GO ] && exit 3; sleep 0.05; done")
    attempt = driver.pid(run, "process")
    break_disk(state_disk)
    try:
        listed = driver.cli("ls", check=0).stdout
        assert "running" in listed
        refused = driver.cli("start", "--name", "other", "--", "true", check=refusal[0]).stderr
        assert refusal[1] in refused
        driver.kill(run, "supervisor")
        assert is_running(attempt)
        go.touch()
        until(lambda: not is_running(attempt), "the attempt to end on such a disk")
    finally:
        mend_disk(state_disk)
    state = driver.end(run, 30.0)
    assert state.exit is not None
    assert (state.state, state.exit.code) == (State.FAILED, 3)


def test_state_folder_that_is_unmounted_and_comes_back_finds_its_run_again(
    state_disk: SmallDisk, driver: Driver, tmp_path: Path
) -> None:
    run = driver.running("exec sleep 600")
    attempt = driver.pid(run, "process")
    keeper = driver.pid(run, "keeper")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(["mount", "--bind", str(driver.home), str(elsewhere)], check=True)
    try:
        subprocess.run(["umount", "--lazy", str(driver.home)], check=True)
        driver.cli("ls", check=0)
        until(lambda: not run.path.exists(), "the folder to be away")
        assert is_running(attempt) and is_running(keeper)
        subprocess.run(["mount", "--bind", str(elsewhere), str(driver.home)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(elsewhere)], check=True)
    assert driver.show(run)["state"] == "running"
    assert driver.pid(run, "process") == attempt
    control.stop(run)
    assert driver.end(run, 30.0).state is State.STOPPED


def test_history_that_was_deleted_or_cut_leaves_the_state(driver: Driver) -> None:
    run = driver.running("exec sleep 600")
    run.events_path.unlink()
    assert driver.show(run)["state"] == "running"
    (killed,) = driver.kill(run, "supervisor")
    until(lambda: driver.pid(run, "supervisor") != killed, "the next supervisor")
    assert read_state(run).state is State.RUNNING
    control.stop(run)
    assert driver.end(run).state is State.STOPPED
    assert driver.cli("events", run.id, check=0).stdout
