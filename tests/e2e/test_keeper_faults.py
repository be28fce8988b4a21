"""Keeper and supervisor killed in every combination: the attempt goes on, and its end is known."""

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import fttui_engine
from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.commands import STOP, drop_command, read_answer
from fttui_engine.runs.files import read_json, write_json
from fttui_engine.runs.journal import Journal, read_state
from fttui_engine.runs.run import Run, all_runs
from fttui_engine.runs.states import State
from fttui_engine.supervise import control
from run_driver import Driver, is_running, until

COUNTING = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.02; done"
PR_SET_CHILD_SUBREAPER = 36

RELEASE = 'until [ -e "$FTTUI_RUN_DIR/release" ]; do sleep 0.05; done; '

TELLS_EXIT_CODES = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (6, 15)


def release(run: Run) -> None:
    (run.path / "release").touch()


def open_files(pid: int) -> str:
    """Return what a process holds open, as the kernel names it."""
    return " ".join(os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir())


def count(driver: Driver, run: Run) -> int:
    numbers = driver.log(run).split()
    assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1)), (
        "each number once, in order"
    )
    return len(numbers)


def test_supervisor_killed_five_times_is_back_within_a_second(driver: Driver) -> None:
    run = driver.running(COUNTING)
    keeper, attempt = driver.pid(run, "keeper"), driver.pid(run, "process")
    for _ in range(5):
        before = count(driver, run)
        (killed,) = driver.kill(run, "supervisor")
        started = time.monotonic()
        until(lambda killed=killed: driver.pid(run, "supervisor") != killed, "the next supervisor")
        assert time.monotonic() - started < 1.0
        until(lambda before=before: count(driver, run) > before, "the attempt to go on")
    assert driver.pid(run, "keeper") == keeper
    assert driver.pid(run, "process") == attempt
    assert control.stop(run).accepted
    assert driver.end(run).state is State.STOPPED
    assert len([event for event in driver.events(run) if event.event == "attempt_started"]) == 1


@pytest.fixture
def init() -> Iterator[None]:
    """Be what init is to orphans, so that a test decides when an ended process is collected."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    with suppress(ChildProcessError):
        until(lambda: os.waitpid(-1, os.WNOHANG)[0] < 0, "all orphans to be collected")


@pytest.mark.skipif(not TELLS_EXIT_CODES, reason="an exit code that no parent saw is known since Linux 6.15")
def test_killed_keeper_is_replaced_and_even_the_exit_code_is_known(driver: Driver, init: None) -> None:
    run = driver.running(RELEASE + "exit 42")
    attempt = driver.pid(run, "process")
    (killed,) = driver.kill(run, "keeper")
    until(lambda: driver.pid(run, "keeper") != killed, "the next keeper")
    supervisor = driver.supervisor_of(driver.pid(run, "keeper"))
    assert driver.pid(run, "process") == attempt
    assert read_state(run).state is State.RUNNING
    assert driver.happened(run, "keeper_replaced")
    until(lambda: "pidfd" in open_files(supervisor), "the new supervisor to hold on to the process")
    os.kill(supervisor, signal.SIGSTOP)
    release(run)
    os.waitpid(attempt, 0)  # collected before the supervisor takes a look: only its pidfd still knows
    os.kill(supervisor, signal.SIGCONT)
    state = driver.end(run)
    assert state.exit is not None
    assert (state.state, state.exit.code) == (State.FAILED, 42)


def end_while_nobody_watches(driver: Driver) -> tuple[Run, int]:
    run = driver.running(RELEASE + "exit 42")
    attempt = driver.pid(run, "process")
    driver.kill(run, "keeper", "supervisor")
    release(run)
    until(lambda: not is_running(attempt), "the attempt to end")
    return run, attempt


def test_end_that_nobody_saw_is_classified_without_an_exit_code(driver: Driver, init: None) -> None:
    run, attempt = end_while_nobody_watches(driver)
    os.waitpid(attempt, 0)
    assert driver.show(run)["state"] == "failed"
    state = driver.end(run)
    assert state.exit is not None
    assert (state.exit.kind, state.exit.code) == ("unknown", None)
    assert "no keeper was there" in state.exit.message


def test_end_that_nobody_saw_is_known_while_init_has_not_collected_it(driver: Driver, init: None) -> None:
    run, _ = end_while_nobody_watches(driver)
    assert driver.show(run)["state"] == "failed"
    state = driver.end(run)
    assert state.exit is not None
    assert (state.exit.kind, state.exit.code) == ("exit_code", 42)


def test_keeper_and_supervisor_killed_the_next_look_adopts(driver: Driver) -> None:
    run = driver.running(COUNTING)
    attempt = driver.pid(run, "process")
    killed = driver.kill(run, "keeper", "supervisor")
    before = count(driver, run)
    until(lambda: count(driver, run) > before + 3, "the attempt to go on alone")
    (shown,) = json.loads(driver.cli("ls", "--json", check=0).stdout)
    assert (shown["state"], shown["pid"]) == ("running", attempt)
    assert shown["keeper_pid"] not in [None, *killed]
    assert shown["supervisor_pid"] not in [None, *killed]
    assert driver.happened(run, "adopted")
    driver.cli("stop", run.id, check=0)
    assert driver.end(run).state is State.STOPPED
    assert not is_running(attempt)


def test_run_whose_end_nobody_saw_is_resumed_without_another_look(driver: Driver) -> None:
    run = driver.running('[ "$FTTUI_ATTEMPT" = 2 ] && exit 0; sleep 600')
    attempt = driver.pid(run, "process")
    driver.kill(run, "keeper", "supervisor")
    os.kill(attempt, signal.SIGKILL)
    until(lambda: not is_running(attempt), "the attempt to be dead")
    driver.cli("resume", run.id, check=0)
    state = driver.end(run)
    assert (state.state, state.attempt) == (State.FINISHED, 2)
    assert [event.event for event in driver.events(run)].count("failed") == 1


def test_many_looks_at_once_adopt_once(driver: Driver) -> None:
    run = driver.running()
    driver.kill(run, "keeper", "supervisor")
    looks = [
        subprocess.Popen([sys.executable, "-m", "fttui", "ls"], stdout=subprocess.DEVNULL) for _ in range(5)
    ]
    assert [look.wait(30) for look in looks] == [0] * 5
    assert [event.event for event in driver.events(run)].count("adopted") == 1
    control.stop(run, now=True)
    driver.end(run)


def test_keeper_killed_many_times_leaves_one_of_each(driver: Driver) -> None:
    run = driver.running(COUNTING)
    attempt = driver.pid(run, "process")
    for _ in range(4):
        (killed,) = driver.kill(run, "keeper")
        until(lambda killed=killed: driver.pid(run, "keeper") != killed, "the next keeper")
        driver.supervisor_of(driver.pid(run, "keeper"))
    assert driver.pid(run, "process") == attempt
    count(driver, run)


def test_wish_survives_the_supervisor_that_was_to_act_on_it(driver: Driver) -> None:
    """Recorded and then killed, before the program was told: the next supervisor has to tell it."""
    run = driver.running("trap 'echo told; exit 0' TERM; while :; do sleep 0.05; done", grace_seconds=60.0)
    supervisor = driver.pid(run, "supervisor")
    os.kill(supervisor, signal.SIGSTOP)
    Journal(run).move(State.STOPPING, "stop_requested", "Stop asked for.", stop_deadline=time.time() + 60)
    os.kill(supervisor, signal.SIGKILL)
    state = driver.end(run)
    assert state.state is State.STOPPED
    assert driver.log(run) == "told\n"


def test_program_is_not_told_twice_by_two_supervisors(driver: Driver) -> None:
    run = driver.running("trap 'echo told' TERM; while :; do sleep 0.05; done", grace_seconds=60.0)
    control.stop(run)
    driver.says(run, "told")
    until(lambda: driver.happened(run, "sigterm_sent"), "the note of it")
    (killed,) = driver.kill(run, "supervisor")
    until(lambda: driver.pid(run, "supervisor") != killed, "the next supervisor")
    time.sleep(0.6)  # two looks of the new supervisor
    assert driver.log(run) == "told\n"


def test_command_dropped_while_nobody_listens_is_answered_by_the_next_supervisor(driver: Driver) -> None:
    run = driver.running()
    os.kill(driver.pid(run, "supervisor"), signal.SIGSTOP)
    command = drop_command(run, STOP)
    os.kill(driver.pid(run, "supervisor"), signal.SIGKILL)
    answer = until(lambda: read_answer(run, command), "the answer")
    assert answer.accepted
    assert driver.end(run).state is State.STOPPED


def test_shutdown_of_the_host_interrupts(driver: Driver) -> None:
    run = driver.running()
    os.kill(driver.pid(run, "supervisor"), signal.SIGTERM)
    state = driver.end(run)
    assert state.state is State.INTERRUPTED
    assert state.exit is not None
    assert state.exit.kind == "shutdown"
    assert "fttui resume" in state.exit.advice


def test_shutdown_that_reaches_the_attempt_first_interrupts_too(driver: Driver) -> None:
    run = driver.running()
    supervisor = driver.pid(run, "supervisor")
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(driver.pid(run, "process"), signal.SIGTERM)
    os.kill(supervisor, signal.SIGTERM)
    os.kill(supervisor, signal.SIGCONT)
    assert driver.end(run).state is State.INTERRUPTED


def pretend(run: Run, **changes: str) -> None:
    """Rewrite who is on record, as another boot or another host would have left it."""
    for path in (run.keeper_path, run.lease_path):
        value = read_json(path) or {}
        for field in ("keeper", "process", "supervisor"):
            if isinstance(value.get(field), dict):
                value[field] |= changes
        write_json(path, value)


def test_reboot_interrupts(driver: Driver) -> None:
    run = driver.running()
    driver.strays.append(driver.pid(run, "process"))
    driver.kill(run, "keeper", "supervisor", "process")
    pretend(run, boot_id="00000000-0000-0000-0000-000000000000")
    shown = driver.show(run)
    assert (shown["state"], shown["exit"]["kind"]) == ("interrupted", "reboot")
    driver.end(run)


def test_reboot_before_the_attempt_began_interrupts(driver: Driver) -> None:
    run = driver.start("exit 0")
    driver.end(run)
    run.attempt(2).path.mkdir()
    Journal(run).move(State.STARTING, "resume_requested", "Resume.", attempt=2)
    pretend(run, boot_id="00000000-0000-0000-0000-000000000000")
    assert driver.show(run)["state"] == "interrupted"


class Container:
    """A pid namespace whose end kills all that is in it, as that of a container does."""

    def __init__(self, *command: str) -> None:
        wait = 'trap "exit 0" TERM; "$@"; echo up; sleep 600 & wait'
        argv = [
            "unshare",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "sh",
            "-c",
            wait,
            "sh",
            *command,
        ]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdout is not None
        while (line := self._process.stdout.readline()) != b"up\n":
            assert line, "the container ended early"

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def test_restarted_container_interrupts_what_ran_in_it(driver: Driver) -> None:
    container = Container(sys.executable, "-m", "fttui", "start", "--name", "inside", "--", "sleep", "600")
    try:
        (run,) = all_runs(driver.home)
        until(lambda: read_state(run).state is State.RUNNING, "the run in the container")
        assert "another container of this host" in driver.cli("stop", run.id, check=2).stderr
    finally:
        container.end()
    until(lambda: driver.show(run)["state"] == "interrupted", "the verdict")
    shown = driver.show(run)
    assert shown["exit"]["message"] == "The container was restarted."
    control.resume(run)
    driver.reach(run, State.RUNNING)
    control.stop(run, now=True)
    driver.end(run)


def test_live_run_of_another_host_is_left_alone_and_its_host_named(driver: Driver) -> None:
    run = driver.running()
    kept = [path.read_bytes() for path in (run.keeper_path, run.lease_path)]
    pretend(run, host="node-7", boot_id="00000000-0000-0000-0000-000000000000")
    for arguments in (["stop", run.id], ["stop", "--now", run.id], ["resume", run.id], ["rm", "-y", run.id]):
        said = driver.cli(*arguments, check=2).stderr
        assert "node-7" in said
        assert "log in there" in said
    assert "running" in driver.cli("ls", check=0).stdout
    assert read_state(run).state is State.RUNNING
    for path, content in zip((run.keeper_path, run.lease_path), kept, strict=True):
        path.write_bytes(content)


def test_ended_run_of_another_host_can_be_resumed_and_deleted_here(driver: Driver) -> None:
    run = driver.start("exit 0")
    driver.end(run)
    pretend(run, host="node-7", boot_id="00000000-0000-0000-0000-000000000000")
    control.resume(run)
    assert driver.end(run).attempt == 2
    pretend(run, host="node-7", boot_id="00000000-0000-0000-0000-000000000000")
    control.remove(run)
    assert not run.path.exists()


def test_same_pid_of_another_process_is_nobody(driver: Driver) -> None:
    """A pid that a stranger got meanwhile: the run is dead, and the stranger is never signalled."""
    run = driver.running()
    driver.kill(run, "keeper", "supervisor", "process")
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        for path in (run.keeper_path, run.lease_path):
            value = read_json(path) or {}
            for field in ("keeper", "process", "supervisor"):
                if isinstance(value.get(field), dict):
                    value[field]["pid"] = stranger.pid
            write_json(path, value)
        assert driver.show(run)["state"] == "failed"
        driver.end(run)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_run_with_its_state_file_destroyed_goes_on(driver: Driver) -> None:
    run = driver.running(RELEASE)
    run.state_path.write_bytes(b"\x00" * 100)
    assert read_state(run).state is State.RUNNING
    (killed,) = driver.kill(run, "supervisor")
    until(lambda: driver.pid(run, "supervisor") != killed, "the next supervisor")
    release(run)
    assert driver.end(run).state is State.FINISHED
    assert driver.happened(run, "state_rebuilt")


def test_run_with_its_plan_destroyed_can_still_be_stopped(driver: Driver) -> None:
    run = driver.running("exec sleep 600")
    attempt = driver.pid(run, "process")
    run.plan_path.write_bytes(b"\x00" * 100)
    (killed,) = driver.kill(run, "supervisor")
    until(lambda: driver.pid(run, "supervisor") != killed, "the next supervisor")
    control.stop(run)
    assert driver.end(run).state is State.STOPPED
    assert not is_running(attempt)
    driver.cli("resume", run.id, check=1)
    driver.cli("rm", "-y", run.id, check=0)


def test_supervisor_needs_no_help_of_the_folder_that_fttui_was_started_in(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(fttui_engine.__file__).parents[1]
    monkeypatch.chdir(root.parent)
    monkeypatch.setenv("PYTHONPATH", root.name)
    assert driver.end(driver.start("exit 0")).state is State.FINISHED


def test_damaged_command_is_refused_and_harms_nothing(driver: Driver) -> None:
    run = driver.running()
    (run.new_commands_dir / "00.json").write_bytes(b"\xff{")
    command = drop_command(run, "dance")
    answer = until(lambda: read_answer(run, command), "the answer")
    assert not answer.accepted
    assert "dance" in answer.message
    until(lambda: not os.listdir(run.new_commands_dir), "the damaged command to be taken away")
    assert read_state(run).state is State.RUNNING


def test_stop_of_an_ended_run_says_so(driver: Driver) -> None:
    run = driver.start("exit 0")
    driver.end(run)
    with pytest.raises(WrongRequestError, match="not running: it is finished"):
        control.stop(run)
