"""The command line on living runs: waiting, following, and what it leaves on disk."""

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fttui_engine.runs.journal import read_state
from fttui_engine.runs.run import find_run
from fttui_engine.runs.states import State
from run_driver import Driver, until

FTTUI = [sys.executable, "-m", "fttui"]


@pytest.mark.parametrize(("program", "code"), [("exit 0", 0), ("exit 3", 4), ("kill -9 $$", 4)])
def test_start_and_wait_tells_by_its_exit_code_how_it_went(driver: Driver, program: str, code: int) -> None:
    done = driver.cli("start", "--wait", "--name", "w", "--", "sh", "-c", program, check=code)
    assert done.stdout == "w\n"
    assert f"w is {'failed' if code else 'finished'}" in done.stderr


def test_start_speaks_json_and_names_the_run_after_the_program(driver: Driver) -> None:
    started = json.loads(driver.cli("start", "--json", "--", "/bin/true", check=0).stdout)
    assert started == {"id": "true", "run_dir": str(driver.home / "runs" / "true")}
    driver.cli("wait", "true", check=0)


def test_program_keeps_its_own_options(driver: Driver) -> None:
    driver.cli("start", "--wait", "--", "echo", "--json", "--name", "x", "--", "-n", check=0)
    assert driver.cli("logs", "echo", check=0).stdout == "--json --name x -- -n\n"


def test_wait_gives_up_in_time_and_on_request(driver: Driver) -> None:
    run = driver.running()
    assert "still running" in driver.cli("wait", run.id, "--timeout", "0.2", check=1).stderr
    waiting = subprocess.Popen([*FTTUI, "wait", run.id], stderr=subprocess.PIPE, text=True)
    status = Path(f"/proc/{waiting.pid}/wchan")
    until(lambda: "nanosleep" in status.read_text() or status.read_text() == "0", "it to wait")
    time.sleep(0.2)  # Python sets up its Ctrl-C before it sleeps for the first time
    waiting.send_signal(signal.SIGINT)
    assert "Traceback" not in waiting.communicate(timeout=10)[1]
    assert waiting.returncode == 130
    assert read_state(run).state is State.RUNNING


def test_following_shows_every_line_and_ends_with_the_run(driver: Driver) -> None:
    wait = 'until [ -e "$FTTUI_RUN_DIR/go$FTTUI_ATTEMPT" ]; do sleep 0.05; done'
    run = driver.running(f"echo begin $FTTUI_ATTEMPT; {wait}; echo end $FTTUI_ATTEMPT; printf last; exit 1")
    follow = subprocess.Popen([*FTTUI, "logs", "-f", run.id], stdout=subprocess.PIPE, text=True)
    assert follow.stdout is not None
    assert follow.stdout.readline() == "begin 1\n"
    (run.path / "go1").touch()
    rest = follow.communicate(timeout=20)[0]
    assert rest == "end 1\nlast\n"
    assert follow.returncode == 0


def test_stopping_and_resuming_by_hand(driver: Driver) -> None:
    run = driver.running('[ "$FTTUI_ATTEMPT" = 1 ] || exit 0; exec sleep 600')
    assert json.loads(driver.cli("stop", run.id, "--json", check=0).stdout)["id"] == run.id
    driver.cli("wait", run.id, check=0)
    driver.cli("resume", run.id, check=0)
    driver.cli("wait", run.id, check=0)
    driver.cli("restart", run.id, check=0)
    driver.cli("wait", run.id, check=0)
    assert driver.show(run)["attempt"] == 3
    driver.cli("rm", "-y", run.id, check=0)
    driver.cli("show", run.id, check=3)


def test_live_run_is_not_removed(driver: Driver) -> None:
    run = driver.running()
    assert "stop it first" in driver.cli("rm", "-y", run.id, check=2).stderr
    assert read_state(run).state is State.RUNNING


def test_removal_is_asked_for_on_a_terminal(driver: Driver) -> None:
    run = driver.start("exit 0")
    driver.end(run)
    for answer, there in ((b"n\n", True), (b"y\n", False)):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(FTTUI[0], [*FTTUI, "rm", run.id])
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(terminal, 1000)
        os.write(terminal, answer)
        os.waitpid(pid, 0)
        os.close(terminal)
        assert run.path.exists() is there


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_everything_of_a_run_is_private(driver: Driver, mask: int) -> None:
    before = os.umask(mask)
    try:
        driver.cli("start", "--wait", "--name", "p", "--", "sh", "-c", "exit 0", check=0)
        driver.cli("resume", "p", check=0)
        driver.cli("wait", "p", check=0)
    finally:
        os.umask(before)
    open_to_others = [path for path in [driver.home, *driver.home.rglob("*")] if path.stat().st_mode & 0o077]
    assert open_to_others == []


def test_list_survives_a_run_that_cannot_be_looked_after(driver: Driver) -> None:
    """Somebody holds the lock of one dead run, and the file of another is destroyed: the list shows them all."""
    held, broken = driver.running(name="held"), driver.start("exit 0", name="broken")
    driver.end(broken)
    broken.plan_path.write_bytes(b"\x00")
    driver.kill(held, "keeper", "supervisor")
    with held.lock_path.open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        listed = driver.cli("ls", check=0).stdout
    assert "held" in listed
    assert "broken" in listed
    driver.cli("stop", "held", "--now", check=0)
    driver.end(find_run("held", driver.home))
