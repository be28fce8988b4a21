"""Starting: at once from two places, where it cannot work, and clearing away again."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fttui_engine.errors import FttuiError, NoSuchRunError, WrongRequestError
from fttui_engine.runs.checkpoints import seal
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.run import Plan, all_runs
from fttui_engine.runs.states import State
from fttui_engine.supervise import control, spawn
from fttui_engine.supervise.creation import start_plan
from run_driver import Driver, is_running, until

START = """
import sys, time
from fttui_engine.errors import FttuiError
from fttui_engine.runs.run import Plan
from fttui_engine.supervise.creation import start_plan
name, output_dir, moment = sys.argv[1], sys.argv[2], float(sys.argv[3])
plan = Plan(name, "command", ["sleep", "600"], {}, "/", output_dir, None, 1.0)
time.sleep(max(0.0, moment - time.time()))
try:
    print("started", start_plan(plan, lambda path, _: path.write_text("{}")).id)
except FttuiError as error:
    print("refused", error.message)
"""


def start_at_once(count: int, output_dir: object) -> list[str]:
    moment = time.time() + 0.3
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", START, "r", str(output_dir), str(moment)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    return [start.communicate(timeout=30)[0].strip() for start in starts]


def test_of_two_starts_on_one_output_folder_exactly_one_wins(driver: Driver, tmp_path: Path) -> None:
    for round_number in range(8):
        output_dir = tmp_path / f"out{round_number}" / "deep"
        said = start_at_once(2, output_dir)
        assert [each.split()[0] for each in sorted(said)] == ["refused", "started"], said
        refusal = next(each for each in said if each.startswith("refused"))
        assert str(output_dir) in refusal
        assert "belongs to the run r" in refusal
        (run,) = [run for run in all_runs(driver.home) if read_state(run).state.is_live]
        driver.reach(run, State.RUNNING)
        control.stop(run, now=True)
        driver.end(run)
    assert len(all_runs(driver.home)) == 8, "no half run is left of those that were refused"


def test_starts_at_once_without_a_common_folder_all_win(driver: Driver) -> None:
    said = start_at_once(4, "")
    assert sorted(said) == ["started r", "started r.2", "started r.3", "started r.4"]
    for run in all_runs(driver.home):
        driver.reach(run, State.RUNNING)


def litter(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.name not in ("state", "runs")]


def test_start_without_a_working_keeper_leaves_nothing(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path.parent / f"{tmp_path.name}-broken.py"
    broken.write_text("import sys; sys.exit('no keeper today')")
    monkeypatch.setattr(spawn, "_KEEPER", broken)
    with pytest.raises(FttuiError, match="keeper of r did not start") as caught:
        driver.start("true", output_dir=str(tmp_path / "out" / "deep"))
    assert "no keeper today" in caught.value.hint
    assert litter(tmp_path) == []
    broken.unlink()


def test_resume_without_a_working_keeper_leaves_the_run_ended(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = driver.start("exit 3")
    driver.end(run)
    broken = tmp_path / "broken.py"
    broken.write_text("import sys; sys.exit('no keeper today')")
    with monkeypatch.context() as patch:
        patch.setattr(spawn, "_KEEPER", broken)
        with pytest.raises(FttuiError, match="did not start"):
            control.resume(run)
    state = read_state(run)
    assert state.exit is not None
    assert (state.state, state.exit.kind) == (State.FAILED, "keeper")
    driver.cli("ls", check=0)
    assert read_state(run).attempt == 2, "nothing was started behind one's back"
    control.resume(run)
    assert driver.end(run).attempt == 3


def test_start_with_a_folder_that_cannot_be_written_leaves_nothing(driver: Driver, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(WrongRequestError, match="output_dir"):
        driver.start("true", output_dir=str(blocker / "out"))
    assert litter(tmp_path) == ["file"]


def test_start_whose_settings_cannot_be_written_leaves_nothing(driver: Driver, tmp_path: Path) -> None:
    def fail(path: Path, output_dir: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    plan = Plan("r", "command", ["true"], {}, "/", str(tmp_path / "out"), None, 1.0)
    with pytest.raises(OSError, match="No space"):
        start_plan(plan, fail)
    assert litter(tmp_path) == []


def test_start_killed_half_way_is_taken_up_by_the_next_look(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder stands, the keeper was never started: as if the starting process was killed in between."""
    code = "import os; from fttui_engine.supervise import creation; creation.spawn_keeper = lambda *a: os._exit(9); "
    code += START
    done = subprocess.run([sys.executable, "-c", code, "r", "", "0"], check=False)
    assert done.returncode == 9
    (run,) = all_runs(driver.home)
    assert read_state(run).state is State.STARTING
    driver.cli("ls", check=0)
    driver.reach(run, State.RUNNING)


def test_interrupted_start_leaves_a_whole_run_or_none(driver: Driver) -> None:
    """Ctrl-C at many moments of a start."""
    for delay in range(0, 160, 20):
        start = subprocess.Popen(
            [sys.executable, "-m", "fttui", "start", "--name", "c", "--", "sleep", "600"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(delay / 1000)
        start.send_signal(signal.SIGINT)
        start.communicate(timeout=30)
        assert not list(driver.home.glob("runs/.*"))
        for run in all_runs(driver.home):
            driver.reach(run, State.RUNNING)
            control.stop(run, now=True)
            driver.end(run)
            control.remove(run)


def test_live_run_is_not_deleted(driver: Driver) -> None:
    run = driver.running()
    with pytest.raises(WrongRequestError, match="is running"):
        control.remove(run)
    assert is_running(driver.pid(run, "process"))


def test_deleted_run_is_gone_and_its_output_folder_is_free_and_whole(driver: Driver, tmp_path: Path) -> None:
    output_dir = tmp_path / "out"
    run = driver.start("exit 0", output_dir=str(output_dir))
    driver.end(run)
    (output_dir / "model.bin").write_text("precious")
    control.remove(run)
    assert list((driver.home / "runs").iterdir()) == []
    assert [path.name for path in output_dir.iterdir()] == ["model.bin"]
    again = driver.start("exit 0", output_dir=str(output_dir))
    assert again.id == run.id
    driver.end(again)


def test_verbs_on_a_deleted_run_say_that_it_is_gone(driver: Driver) -> None:
    run = driver.start("exit 0")
    driver.end(run)
    control.remove(run)
    for verb in (control.resume, control.restart, control.remove, control.stop):
        with pytest.raises(FttuiError) as caught:
            verb(run)
        assert not isinstance(caught.value, AssertionError)
    assert not run.path.exists()
    driver.cli("resume", run.id, check=3)


def test_dead_run_is_deleted_without_another_look_first(driver: Driver) -> None:
    run = driver.running()
    driver.kill(run, "keeper", "supervisor", "process")
    control.remove(run)
    assert not run.path.exists()


def test_of_many_resumes_at_once_exactly_one_wins(driver: Driver) -> None:
    run = driver.start("[ $FTTUI_ATTEMPT = 1 ] || exec sleep 600")
    driver.end(run)
    asked = [
        subprocess.Popen([sys.executable, "-m", "fttui", "resume", run.id], stderr=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    said = [(each.communicate(timeout=30)[1], each.returncode) for each in asked]
    assert sorted(code for _, code in said) == [0, 2, 2, 2, 2], said
    assert all(f"{run.id} is " in text for text, code in said if code == 2)
    driver.reach(run, State.RUNNING)
    assert run.latest_attempt_number() == 2


def test_resume_in_a_folder_that_another_run_took_over_is_refused(driver: Driver, tmp_path: Path) -> None:
    output_dir = tmp_path / "out"
    first = driver.start("exit 0", output_dir=str(output_dir))
    driver.end(first)
    second = driver.start("exec sleep 600", output_dir=str(output_dir))
    for verb in (control.resume, control.restart):
        with pytest.raises(WrongRequestError, match=f"belongs to the run {second.id}"):
            verb(first)
    assert read_state(first).attempt == 1
    assert first.latest_attempt_number() == 1


def test_taking_over_a_folder_twice_keeps_all_checkpoints(driver: Driver, tmp_path: Path) -> None:
    output_dir = tmp_path / "out"
    for _ in range(3):
        plan = Plan("r", "command", ["true"], {}, "/", str(output_dir), None, 1.0)
        run = start_plan(plan, lambda path, _: path.touch(), take_over=True)
        driver.end(run)
        control.remove(run)
        (output_dir / "checkpoint-7").mkdir()
        seal(output_dir / "checkpoint-7", 7, 1, {})
    names = sorted(str(path.parent.relative_to(output_dir)) for path in output_dir.rglob("manifest.json"))
    assert names == ["before-r.2/checkpoint-7", "before-r/checkpoint-7", "checkpoint-7"]


def test_terminal_that_closes_takes_nothing_with_it(driver: Driver) -> None:
    """Started from an interactive terminal that then hangs up: the signal goes to all of its session."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(
            sys.executable,
            [sys.executable, "-m", "fttui", "start", "--name", "t", "--wait", "--", "sleep", "600"],
        )
    try:
        run = until(lambda: all_runs(driver.home), "the run")[0]
        driver.reach(run, State.RUNNING)
        pids = [driver.pid(run, role) for role in ("keeper", "supervisor", "process")]
        assert pid not in [os.getsid(each) for each in pids]
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    time.sleep(0.5)  # a hang-up that came through would have been felt by now
    assert all(map(is_running, pids))


def test_waiting_for_a_run_that_is_deleted_ends(driver: Driver) -> None:
    run = driver.running("sleep 600")
    wait = subprocess.Popen(
        [sys.executable, "-m", "fttui", "wait", run.id], stderr=subprocess.PIPE, text=True
    )
    os.kill(wait.pid, signal.SIGSTOP)
    control.stop(run, now=True)
    driver.end(run)
    control.remove(run)
    os.kill(wait.pid, signal.SIGCONT)
    said = wait.communicate(timeout=20)[1]
    assert wait.returncode == NoSuchRunError.exit_code
    assert "deleted" in said or "no run" in said
