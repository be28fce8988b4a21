"""The main promise: log in over SSH, start training on the screens, lose the connection in every way there is."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fttui_engine.runs.metrics import read_metrics
from fttui_engine.runs.run import Run
from fttui_engine.runs.summary import summarize
from real_terminal import Terminal
from ssh_host import SshHost, start_ssh_host, stop_ssh_host

FTTUI = f"{sys.executable} -m fttui"
# Generous: the tests share their machine with whatever else runs there.
GONE_SECONDS = 5.0
SHOWN_SECONDS = 6.0
F8 = "\x1b[19~"
CONFIG = """
model_name_or_path: demo:tiny
dataset: demo:instructions
finetuning_type: lora
max_steps: 100000
save_steps: 100
save_total_limit: 2
per_device_train_batch_size: 2
learning_rate: 1.0e-3
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHost]:
    host = start_ssh_host(tmp_path_factory.mktemp("sshd"))
    yield host
    stop_ssh_host(host)


@pytest.fixture(scope="module")
def training(host: SshHost) -> Iterator[Run]:
    """A real training, started with the keyboard on the screens of an SSH session, which is then left with q."""
    config = host.home / "long.yaml"
    config.write_text(CONFIG)
    config.chmod(0o644)
    screen = host.login(FTTUI)
    screen.sees("no runs yet")
    screen.press("n")
    screen.sees("YAML file")
    screen.press(str(config))
    screen.sees(config.name)
    screen.press(F8)
    screen.sees("can be started")
    screen.press("\r")
    screen.sees("starting", seconds=2.0)
    run = Run(host.home / "state/runs/long")
    screen.sees("running", seconds=60.0)
    screen.press("q")
    screen.ends_within(5)
    screen.vanish()
    yield run
    pid = summarize(run).keeper_pid
    with host.login(f"{FTTUI} stop --now long") as stop:
        stop.ends_within(10)
    if pid:
        wait_until(lambda: not psutil.pid_exists(pid), 10, "the keeper is still there")


def wait_until(condition: Callable[[], bool], seconds: float, complaint: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{complaint} after {seconds} s"
        time.sleep(0.02)


def _has_terminal(process: psutil.Process) -> bool:
    """Whether it has one; ``Process.terminal`` knows only those that were there when it was first called."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return fields[4] != "0"


def screens_process(host: SshHost) -> psutil.Process:
    """Return the process that draws the screens in the SSH session."""
    found = [
        process
        for process in psutil.process_iter(["username", "cmdline"])
        if process.info["username"] == host.user
        and "fttui" in (process.info["cmdline"] or ())
        and _has_terminal(process)
    ]
    assert len(found) == 1, found
    return found[0]


def kill_sshd_session(screen: Terminal, tui: psutil.Process) -> None:
    parent = tui.parent()
    assert parent is not None and parent.name().startswith("sshd"), parent
    parent.kill()


def kill_ssh_client(screen: Terminal, tui: psutil.Process) -> None:
    screen.process.kill()


def hang_up_session(screen: Terminal, tui: psutil.Process) -> None:
    session = os.getsid(tui.pid)
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session:
                process.send_signal(signal.SIGHUP)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue


def kill_screens(screen: Terminal, tui: psutil.Process) -> None:
    tui.kill()


@pytest.mark.parametrize("fault", [kill_sshd_session, kill_ssh_client, hang_up_session, kill_screens])
def test_training_steps_on_when_the_connection_goes(
    host: SshHost, training: Run, fault: Callable[[Terminal, psutil.Process], None]
) -> None:
    before = summarize(training)
    screen = host.login(FTTUI)
    screen.sees("running")
    tui = screens_process(host)
    cpu_before = sum(tui.cpu_times()[:2])

    fault(screen, tui)
    wait_until(lambda: has_ended(tui), GONE_SECONDS, "the old screens are still there")
    assert cpu_spent(tui, cpu_before) < 1.0
    screen.vanish()
    screen.process.wait()

    step = latest_step(training)
    wait_until(lambda: latest_step(training) >= step + 3, 20, "training does not step on")
    after = summarize(training)
    assert (after.pid, after.keeper_pid, after.supervisor_pid) == (
        before.pid,
        before.keeper_pid,
        before.supervisor_pid,
    )
    assert after.attempt == 1

    with host.login(FTTUI) as again:
        again.sees("running", seconds=SHOWN_SECONDS)
        again.press("q")
        again.ends_within(5)


def test_no_step_was_missed_or_done_twice(host: SshHost, training: Run) -> None:
    steps = [point["step"] for point in read_metrics(training.metrics_path)]
    assert steps == list(range(1, len(steps) + 1))


def has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def cpu_spent(process: psutil.Process, before: float) -> float:
    """Return the CPU seconds spent since ``before``; a process that is gone spends none."""
    try:
        return float(sum(process.cpu_times()[:2]) - before)
    except psutil.NoSuchProcess:
        return 0.0


def latest_step(run: Run) -> int:
    points = read_metrics(run.metrics_path)
    return int(points[-1]["step"]) if points else 0
