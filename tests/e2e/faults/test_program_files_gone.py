"""The environment that fttui was started from is deleted or broken while a run lives: an upgrade that went wrong."""

import shutil
from pathlib import Path

import pytest

import fttui_engine
from fttui_engine.runs.states import State
from fttui_engine.supervise import spawn
from run_driver import Driver, until


def test_run_outlives_the_installation_and_is_supervised_again_when_that_is_back(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site"
    package = Path(fttui_engine.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__", "train")
    shutil.copytree(package, installed / "fttui_engine", ignore=ignored)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.setattr(spawn, "_KEEPER", installed / "fttui_engine" / "supervise" / "keeper_process.py")
    run = driver.running('until [ -e "$FTTUI_RUN_DIR/go" ]; do sleep 0.05; done; exit 3')
    keeper, attempt = driver.pid(run, "keeper"), driver.pid(run, "process")
    assert str(installed) in Path(f"/proc/{keeper}/cmdline").read_text()

    gone = installed.rename(tmp_path / "gone")
    driver.kill(run, "supervisor")
    until(lambda: "can't open file" in run.supervisor_log_path.read_text(), "a supervisor that cannot start")
    assert driver.pid(run, "keeper") == keeper and driver.pid(run, "process") == attempt
    (run.path / "go").touch()
    until(lambda: run.attempt(1).read_exit(), "the keeper to write how the attempt ended")

    gone.rename(installed)
    state = driver.end(run)
    assert state.exit is not None
    assert (state.state, state.exit.code) == (State.FAILED, 3)
