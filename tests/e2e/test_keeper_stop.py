"""Stopping: gracefully, at once, twice, too late, against programs that do not want to."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs import checkpoints
from fttui_engine.runs.checkpoints import MANIFEST, seal
from fttui_engine.runs.commands import KILL, STOP, drop_command, read_answer
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.run import Run
from fttui_engine.runs.states import State
from fttui_engine.supervise import control
from run_driver import Driver, is_running, until

# Double fork, a session of its own, an empty environment, other files and another folder: nothing of the run is left.
DAEMON = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.execve("/bin/sh", ["sh", "-c", "echo $$ > " + sys.argv[1] + "; exec sleep 600"], {"PATH": os.environ["PATH"]})
    os._exit(0)
os.wait()
"""

# A worker as the supervisor sees one: it looks for the request to stop and says how it ended.
WORKER = """
import os, sys, time
from pathlib import Path
from fttui_engine.runs.attempt import Outcome, Progress
from fttui_engine.runs.run import Run
attempt = Run(Path(os.environ["FTTUI_RUN_DIR"])).attempt(int(os.environ["FTTUI_ATTEMPT"]))
launch = attempt.read_launch()
step = launch.resume_step or 0
print("from", launch.resume_from, flush=True)
while not attempt.stop_requested() or "deaf" in sys.argv:
    step += 1
    attempt.write_progress(Progress("train", step, 1000, loss=float("nan")))
    time.sleep(0.05)
attempt.write_outcome(Outcome("stopped", step, 1000, f"Saved and stopped at step {step}."))
sys.exit(1)
"""


def worker(driver: Driver, *arguments: str, grace_seconds: float = 30.0, **plan: object) -> Run:
    run = driver.start_argv(
        [sys.executable, "-c", WORKER, *arguments], kind="train", grace_seconds=grace_seconds, **plan
    )
    driver.reach(run, State.RUNNING)
    return run


def test_program_gets_sigterm_and_its_grace(driver: Driver) -> None:
    run = driver.running(
        "trap 'echo saving; sleep 0.5; echo saved; exit 7' TERM; while :; do sleep 0.05; done"
    )
    answer = control.stop(run)
    assert "SIGTERM" in answer.message
    state = driver.end(run)
    assert state.state is State.STOPPED
    assert driver.log(run) == "saving\nsaved\n"
    assert state.exit is not None
    assert state.exit.code == 7


def test_training_is_asked_by_file_and_believed_whatever_its_exit_code(driver: Driver) -> None:
    run = worker(driver)
    control.stop(run)
    state = driver.end(run)
    assert state.state is State.STOPPED
    assert state.exit is not None
    assert state.exit.message.startswith("Saved and stopped at step ")
    assert state.exit.code == 1
    assert driver.happened(run, "sigterm_sent") is None


@pytest.mark.parametrize("kind", ["command", "train"])
def test_what_ignores_every_request_is_killed_when_its_grace_is_over(driver: Driver, kind: str) -> None:
    run = driver.start("trap '' TERM; echo deaf; while :; do sleep 0.05; done", grace_seconds=0.7, kind=kind)
    driver.says(run, "deaf")
    driver.reach(run, State.RUNNING, State.STARTING)
    control.stop(run)
    shown = driver.show(run)
    assert (shown["state"], shown["stop_deadline"] is None) == ("stopping", False)
    state = driver.end(run, 10.0)
    assert state.state is State.STOPPED
    assert driver.happened(run, "grace_over")
    assert state.exit is not None
    assert state.exit.signal == signal.SIGKILL
    assert "was killed" in state.exit.message


def test_kill_ends_a_deaf_training_at_once(driver: Driver) -> None:
    run = worker(driver, "deaf", grace_seconds=600.0)
    control.stop(run)
    assert read_state(run).state is State.STOPPING
    started = time.monotonic()
    control.stop(run, now=True)
    state = driver.end(run)
    assert time.monotonic() - started < 3.0
    assert state.state is State.STOPPED
    assert state.exit is not None
    assert state.exit.kind == "killed"


@pytest.mark.parametrize("now", [False, True])
def test_daemon_that_hid_itself_is_ended_with_the_run(driver: Driver, tmp_path: Path, now: bool) -> None:
    pid_file = tmp_path / "daemon.pid"
    run = driver.running(f"{sys.executable} -c '{DAEMON}' {pid_file}; exec sleep 600", grace_seconds=2.0)
    daemon = int(until(lambda: pid_file.exists() and pid_file.read_text().strip(), "the daemon"))
    driver.strays.append(daemon)
    assert is_running(daemon)
    assert b"FTTUI" not in Path(f"/proc/{daemon}/environ").read_bytes()
    control.stop(run, now=now)
    assert driver.end(run).state is State.STOPPED
    until(lambda: not is_running(daemon), "the daemon to be dead", 2.0)


def test_child_of_a_mere_shell_gets_its_grace_too(driver: Driver) -> None:
    child = 'trap "sleep 1; echo child saved; exit 0" TERM; echo ready; while :; do sleep 0.05; done'
    run = driver.running(f"sh -c '{child}'; echo never", grace_seconds=20.0)
    driver.says(run, "ready")
    control.stop(run)
    assert driver.end(run).state is State.STOPPED
    assert "child saved" in driver.log(run)
    assert "never" not in driver.log(run)


def test_second_stop_is_told_so_and_a_kill_still_goes(driver: Driver) -> None:
    run = driver.running("trap '' TERM; while :; do sleep 0.05; done", grace_seconds=600.0)
    control.stop(run)
    with pytest.raises(WrongRequestError, match="already being stopped"):
        control.stop(run)
    assert control.stop(run, now=True).accepted
    driver.end(run)
    with pytest.raises(WrongRequestError, match="not running: it is stopped"):
        control.stop(run, now=True)


def test_every_one_of_many_commands_at_once_is_answered_and_one_wins(driver: Driver) -> None:
    run = driver.running("trap '' TERM; while :; do sleep 0.05; done", grace_seconds=600.0)
    os.kill(driver.pid(run, "supervisor"), signal.SIGSTOP)
    commands = [drop_command(run, verb) for verb in (STOP, STOP, KILL, KILL, STOP)]
    os.kill(driver.pid(run, "supervisor"), signal.SIGCONT)
    answers = [until(lambda command=command: read_answer(run, command), "an answer") for command in commands]
    assert [answer.accepted for answer in answers] == [True, False, True, False, False]
    driver.end(run)


def test_stop_that_comes_too_late_does_not_call_a_failure_a_stop(driver: Driver) -> None:
    """The program is dead and its helpers are being waited for; a stop asked for now did not end it."""
    run = driver.running("sleep 600 & exec sh -c 'sleep 0.5; exit 3'")
    attempt = driver.pid(run, "process")
    until(lambda: not is_running(attempt), "the program to end")
    control.stop(run)
    state = driver.end(run)
    assert state.exit is not None
    assert (state.state, state.exit.code) == (State.FAILED, 3)


def test_wish_of_a_viewer_that_died_does_not_stop_the_next_attempt(driver: Driver) -> None:
    run = driver.start("[ $FTTUI_ATTEMPT = 1 ] || exec sleep 600")
    driver.end(run)
    stale = drop_command(run, STOP)
    control.resume(run)
    driver.reach(run, State.RUNNING)
    answer = read_answer(run, stale)
    assert answer is not None
    assert not answer.accepted
    assert read_state(run).state is State.RUNNING


def test_stop_and_resume_at_once_end_in_one_clear_state(driver: Driver) -> None:
    run = driver.running("exec sleep 600")
    for _ in range(6):
        verbs = [[sys.executable, "-m", "fttui", verb, run.id] for verb in ("stop", "resume", "resume")]
        asked = [subprocess.Popen(verb, stderr=subprocess.PIPE, text=True) for verb in verbs]
        said = [(each.communicate(timeout=30)[1], each.returncode) for each in asked]
        assert all(code in (0, 2) for _, code in said), said
        assert all("Traceback" not in text for text, _ in said)
        resumed = [code for _, code in said[1:]].count(0)
        assert resumed <= 1, "two resumes cannot both win"
        if resumed:
            driver.reach(run, State.RUNNING)
        else:
            driver.end(run)
            control.resume(run)
            driver.reach(run, State.RUNNING)
    attempts = [event.attempt for event in driver.events(run) if event.event == "attempt_started"]
    assert attempts == list(range(1, len(attempts) + 1))


def test_stop_before_the_attempt_began_ends_it_unstarted(driver: Driver, tmp_path: Path) -> None:
    """While a large checkpoint is read the supervisor still answers, and gives up reading."""
    run = worker(driver)
    checkpoint = run.checkpoints_dir / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    with (checkpoint / "model.bin").open("wb") as file:
        file.truncate(6 << 30)  # sparse; about 6 s to read
    seal_cheaply(checkpoint, 5)
    control.stop(run)
    driver.end(run)
    control.resume(run)
    until(lambda: read_state(run).detail == "verifying checkpoint-5", "the checkpoint to be read")
    started = time.monotonic()
    assert control.stop(run).accepted
    assert time.monotonic() - started < 2.0
    state = driver.end(run)
    assert state.state is State.STOPPED
    assert state.exit is not None
    assert "before it had started" in state.exit.message
    assert not run.attempt(2).log_path.exists()


def seal_cheaply(checkpoint: Path, step: int) -> None:
    """Seal with a checksum that is wrong, without reading the files: nobody gets to the end of them."""
    sizes = {path.name: path.stat().st_size for path in checkpoint.iterdir()}
    for path in checkpoint.iterdir():
        os.truncate(path, 0)
    seal(checkpoint, step, 1, {})
    value = json.loads((checkpoint / MANIFEST).read_bytes())
    value.pop("digest")
    for file in value["files"]:
        file["size_bytes"] = sizes[file["name"]]
        os.truncate(checkpoint / file["name"], sizes[file["name"]])
    (checkpoint / MANIFEST).write_text(json.dumps({**value, "digest": checkpoints._digest(value)}))


def make_checkpoint(run: Run, step: int) -> Path:
    folder = run.output_dir / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"x" * 100)
    seal(folder, step, 1, {})
    return folder


def stopped_with_checkpoints(driver: Driver, *steps: int) -> Run:
    run = worker(driver)
    for step in steps:
        make_checkpoint(run, step)
    control.stop(run)
    driver.end(run)
    return run


def came_from(driver: Driver, run: Run, attempt: int) -> str:
    driver.reach(run, State.RUNNING)
    until(lambda: driver.log(run, attempt).startswith("from"), "the worker")
    control.stop(run)
    driver.end(run)
    return Path(driver.log(run, attempt).split()[1]).name


def test_resume_takes_the_newest_whole_checkpoint_and_says_why_not_the_others(driver: Driver) -> None:
    run = stopped_with_checkpoints(driver, 5, 10, 15, 20)
    (run.output_dir / "checkpoint-15" / "model.bin").write_bytes(b"y" * 100)
    (run.output_dir / "checkpoint-20" / MANIFEST).unlink()
    control.resume(run)
    assert came_from(driver, run, 2) == "checkpoint-10"
    rejected = [event for event in driver.events(run) if event.event == "checkpoint_rejected"]
    assert [event.data["step"] for event in rejected] == [20, 15]
    assert "never sealed" in rejected[0].message
    assert "has changed" in rejected[1].message
    assert sorted(path.name for path in run.output_dir.iterdir()) == [
        "checkpoint-10", "checkpoint-5", "torn-checkpoint-15", "torn-checkpoint-20",
    ]  # fmt: skip


def test_resume_from_a_step_keeps_the_later_ones_aside(driver: Driver) -> None:
    run = stopped_with_checkpoints(driver, 5, 10, 15)
    with pytest.raises(WrongRequestError, match="no whole checkpoint of step 7") as caught:
        control.resume(run, 7)
    assert "5, 10, 15" in caught.value.hint
    control.resume(run, 10)
    assert came_from(driver, run, 2) == "checkpoint-10"
    assert sorted(path.name for path in (run.output_dir / "before-attempt-002").iterdir()) == [
        "checkpoint-15"
    ]


def test_resume_from_a_damaged_step_fails_and_moves_no_good_one(driver: Driver) -> None:
    run = stopped_with_checkpoints(driver, 5, 10, 15)
    (run.output_dir / "checkpoint-10" / "model.bin").write_bytes(b"y" * 100)
    control.resume(run, 10)
    state = driver.end(run)
    assert state.state is State.FAILED
    assert state.exit is not None
    assert "no whole checkpoint of step 10" in state.exit.message
    control.resume(run)
    assert came_from(driver, run, 3) == "checkpoint-15"


def test_restart_begins_at_step_0_and_loses_nothing(driver: Driver) -> None:
    run = stopped_with_checkpoints(driver, 5, 10)
    control.restart(run)
    assert came_from(driver, run, 2) == "None"
    assert sorted(path.name for path in (run.output_dir / "before-attempt-002").iterdir()) == [
        "checkpoint-10", "checkpoint-5",
    ]  # fmt: skip


def test_checkpoints_that_cannot_be_moved_fail_the_attempt_in_a_sentence(driver: Driver) -> None:
    run = stopped_with_checkpoints(driver, 5)
    (run.output_dir / "before-attempt-002").write_text("a file where the folder should be")
    control.restart(run)
    state = driver.end(run)
    assert state.state is State.FAILED
    assert state.exit is not None
    assert "cannot be prepared" in state.exit.message
    assert (run.output_dir / "checkpoint-5" / "model.bin").exists()
