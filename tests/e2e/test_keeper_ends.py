"""How attempts end, seen through keeper and supervisor, and in which words."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from fttui_engine.runs.states import State
from run_driver import Driver, is_running, until


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_code_is_kept(driver: Driver, code: int) -> None:
    run = driver.start(f"echo last words; exit {code}")
    state = driver.end(run)
    assert state.state is (State.FAILED if code else State.FINISHED)
    assert state.exit is not None
    assert (state.exit.code, state.exit.signal) == (code, None)
    assert f"exit code {code}" in state.exit.message
    if code:
        assert "last words" in state.exit.message


@pytest.mark.parametrize("name", ["KILL", "SEGV", "TERM"])
def test_signal_is_kept_and_explained(driver: Driver, name: str) -> None:
    run = driver.start(f"kill -{name} $$; sleep 60")
    state = driver.end(run)
    assert state.state is State.FAILED
    assert state.exit is not None
    assert (state.exit.code, state.exit.signal) == (None, signal.Signals[f"SIG{name}"])
    assert state.exit.message.startswith(f"Killed by SIG{name}: ")


def test_program_that_is_not_there(driver: Driver) -> None:
    run = driver.start_argv(["no-such-program-anywhere", "x"])
    state = driver.end(run)
    assert state.exit is not None
    assert (state.state, state.exit.code) == (State.FAILED, 127)
    assert "could not be started" in state.exit.message
    assert "No such file or directory" in driver.log(run)


@pytest.mark.parametrize("argv", [["true", "a\0b"], ["/"], ["/dev/null"]])
def test_program_that_no_kernel_starts_says_why(driver: Driver, argv: list[str]) -> None:
    run = driver.start_argv(argv)
    state = driver.end(run)
    assert state.exit is not None
    assert (state.state, state.exit.code) == (State.FAILED, 127)
    assert "fttui: cannot run" in driver.log(run)


def test_folder_that_is_gone_when_the_attempt_starts(driver: Driver, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    run = driver.start("echo never", cwd=str(gone))
    state = driver.end(run)
    assert state.exit is not None
    assert state.exit.code == 127
    assert str(gone) in driver.log(run)
    assert "never" not in driver.log(run)


def test_attempt_has_a_session_of_its_own_no_terminal_and_no_files_of_others(driver: Driver) -> None:
    code = """
import os, signal
print("session", os.getsid(0) == os.getpid(), flush=True)
links = [os.readlink(f"/proc/self/fd/{f}") for f in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{f}")]
print("files", sorted(os.path.basename(link) for link in links))
print("links", os.readlink("/proc/self/fd/0"), os.readlink("/proc/self/fd/1") == os.readlink("/proc/self/fd/2"))
try:
    os.open("/dev/tty", os.O_RDWR)
    print("has a terminal")
except OSError:
    print("no terminal")
ignored = int(next(l for l in open("/proc/self/status") if l.startswith("SigIgn")).split()[1], 16)
blocked = int(next(l for l in open("/proc/self/status") if l.startswith("SigBlk")).split()[1], 16)
# Python itself ignores SIGPIPE and SIGXFSZ, and posix_spawn of the C library leaves its own two, 32 and 33, ignored.
print("signals", ignored & ~(1 << 12 | 1 << 24 | 3 << 31), blocked)
print("role", os.environ.get("FTTUI_ROLE"), os.environ["FTTUI_RUN"], os.environ["FTTUI_ATTEMPT"])
print("oom", open("/proc/self/oom_score_adj").read())
"""
    read, write = os.pipe()
    os.set_inheritable(read, True)
    os.set_inheritable(write, True)
    try:
        run = driver.start_argv([sys.executable, "-c", code])
    finally:
        os.close(read)
        os.close(write)
    driver.end(run)
    log = driver.log(run)
    assert "session True" in log
    assert "files ['lock', 'log', 'log', 'null']" in log
    assert "links /dev/null True" in log
    assert "no terminal" in log
    assert "signals 0 0" in log
    assert "role None r 1" in log
    assert "oom 500" in log


def test_argument_and_environment_reach_the_program_untouched(driver: Driver) -> None:
    odd = ["$(touch /x)", "a b", "'\"", "*", "caf\u00e9", "\udcff", "-rf", "", "new\nline", "`id`"]
    code = "import os, sys; print(ascii(sys.argv[1:]), ascii(os.environ['ODD']), os.environ.get('FTTUI_RUN'))"
    run = driver.start_argv(
        [sys.executable, "-c", code, *odd], environment={"ODD": "a=b;$x\n", "FTTUI_RUN": "other"}
    )
    driver.end(run)
    assert driver.log(run).strip() == f"{odd!a} {'a=b;$x' + chr(10)!a} r"


def test_first_instruction_runs_after_the_keeper_is_on_record(driver: Driver) -> None:
    script = 'grep -q "\\"pid\\": $$" "$FTTUI_RUN_DIR/keeper.json" && echo on record'
    run = driver.start(script)
    driver.end(run)
    assert "on record" in driver.log(run)


def test_fast_and_silent_program_is_classified_too(driver: Driver) -> None:
    for _ in range(5):
        run = driver.start_argv(["true"])
        assert driver.end(run).state is State.FINISHED


def test_helper_that_outlives_the_attempt_is_killed_and_named(driver: Driver) -> None:
    run = driver.start("sleep 600 & echo $!; exit 0")
    state = driver.end(run)
    helper = int(driver.log(run))
    assert state.state is State.FINISHED
    assert not is_running(helper)
    event = driver.happened(run, "leftovers_killed")
    assert event is not None
    assert str(helper) in event.message


def test_helper_that_ends_by_itself_is_left_to_it(driver: Driver) -> None:
    run = driver.start("(sleep 0.5; echo done) & exit 0")
    driver.end(run)
    assert "done" in driver.log(run)
    assert driver.happened(run, "leftovers_killed") is None


def test_run_started_inside_a_run_outlives_it(driver: Driver) -> None:
    inner = f"{sys.executable} -m fttui start --name inner -- sleep 600"
    run = driver.start(f"{inner}; sleep 1; exit 0", name="outer")
    assert driver.end(run).state is State.FINISHED
    shown = driver.show("inner")
    assert shown["state"] == "running"
    assert is_running(shown["pid"])
    driver.cli("stop", "inner", "--now", check=0)
    until(lambda: not is_running(shown["pid"]), "the inner run to end")


def test_deleting_the_folder_of_a_live_run_by_hand_leaves_no_process(driver: Driver) -> None:
    run = driver.running("sleep 1")
    pids = [driver.pid(run, role) for role in ("keeper", "supervisor", "process")]
    until(
        lambda: not shutil.rmtree(run.path, ignore_errors=True) and not run.path.exists(), "the folder to go"
    )
    until(lambda: not any(map(is_running, pids)), "keeper and supervisor to go")
