"""Watching a process that is not one's child."""

import os
import select
import subprocess
import time
from collections.abc import Callable

import pytest

from fttui_engine.runs.identity import ProcessIdentity, identify
from fttui_engine.supervise import pidfd
from fttui_engine.supervise.pidfd import ProcessWatch


def known(pid: int) -> ProcessIdentity:
    identity = identify(pid)
    assert identity is not None
    return identity


def kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])


needs_exit_info = pytest.mark.skipif(
    kernel() < (6, 15), reason="PIDFD_GET_INFO tells exit codes since Linux 6.15"
)


def end(command: list[str], finish: Callable[[subprocess.Popen[bytes]], object]) -> ProcessWatch:
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    watch = ProcessWatch(known(process.pid))
    assert watch.exit_status() is None, "it runs"
    finish(process)
    assert select.select([watch.fileno()], [], [], 5)[0], "the end is seen at once"
    process.communicate()
    return watch


@needs_exit_info
def test_exit_code_is_seen_by_whoever_watches() -> None:
    watch = end(["sh", "-c", "read x; exit 42"], lambda process: process.stdin.close())
    status = watch.exit_status()
    assert status is not None
    assert os.WEXITSTATUS(status) == 42
    os.close(watch.fileno())


@needs_exit_info
def test_signal_is_seen_by_whoever_watches() -> None:
    watch = end(["sleep", "60"], lambda process: process.kill())
    status = watch.exit_status()
    assert status is not None
    assert os.WTERMSIG(status) == 9
    os.close(watch.fileno())


def test_kernel_that_does_not_tell_leaves_the_status_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = end(["sleep", "60"], lambda process: process.kill())
    monkeypatch.setattr(pidfd, "_PIDFD_GET_INFO", 0)  # a request that no kernel knows
    assert watch.exit_status() is None
    os.close(watch.fileno())


def test_process_that_was_gone_before_is_not_watched() -> None:
    process = subprocess.Popen(["sleep", "60"])
    identity = known(process.pid)
    process.kill()
    process.wait()
    watch = ProcessWatch(identity)
    assert watch.fileno() == -1
    assert watch.exit_status() is None


def test_stranger_with_the_same_pid_is_not_watched() -> None:
    process = subprocess.Popen(["sleep", "60"])
    identity = known(process.pid)
    before = len(os.listdir("/proc/self/fd"))
    watch = ProcessWatch(identity._replace(start_ticks=identity.start_ticks - 1))
    assert watch.fileno() == -1
    assert len(os.listdir("/proc/self/fd")) == before, "nothing stays open"
    process.kill()
    process.wait()


def test_the_end_is_seen_without_polling() -> None:
    process = subprocess.Popen(["sleep", "60"])
    watch = ProcessWatch(known(process.pid))
    process.kill()
    started = time.monotonic()
    select.select([watch.fileno()], [], [], 5)
    assert time.monotonic() - started < 1.0
    process.wait()
    os.close(watch.fileno())
