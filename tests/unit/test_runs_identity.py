"""A process is who it is by host, boot, pid namespace, pid and start time."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from fttui_engine.runs.identity import (
    Liveness,
    ProcessIdentity,
    identify,
    identify_self,
    identity_from_json,
    identity_to_json,
)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def known(pid: int) -> ProcessIdentity:
    identity = identify(pid)
    assert identity is not None
    return identity


def test_running_process_is_alive(child: subprocess.Popen[bytes]) -> None:
    assert known(child.pid).liveness() is Liveness.ALIVE
    assert identify_self().is_alive


def test_dead_process_is_dead(child: subprocess.Popen[bytes]) -> None:
    identity = known(child.pid)
    child.kill()
    child.wait()
    assert identity.liveness() is Liveness.DEAD
    assert identify(child.pid) is None


def test_zombie_has_ended(child: subprocess.Popen[bytes]) -> None:
    identity = known(child.pid)
    child.kill()
    deadline = time.monotonic() + 5
    while identity.is_alive and time.monotonic() < deadline:
        time.sleep(0.01)
    with open(f"/proc/{child.pid}/stat") as file:
        assert ") Z " in file.read(), "not collected yet, so still there"
    assert identity.liveness() is Liveness.DEAD


def test_same_pid_with_another_start_time_is_another_process(child: subprocess.Popen[bytes]) -> None:
    identity = known(child.pid)
    assert identity._replace(start_ticks=identity.start_ticks + 1).liveness() is Liveness.DEAD


def test_other_host_is_never_judged(child: subprocess.Popen[bytes]) -> None:
    elsewhere = known(child.pid)._replace(host="node-7", boot_id="another")
    assert elsewhere.liveness() is Liveness.FOREIGN
    assert not elsewhere.is_alive


def test_host_that_was_renamed_still_knows_its_processes(child: subprocess.Popen[bytes]) -> None:
    renamed = known(child.pid)._replace(host="before-dhcp")
    assert renamed.liveness() is Liveness.ALIVE
    assert renamed._replace(start_ticks=1).liveness() is Liveness.FOREIGN, (
        "a clone of this machine has the same boot id"
    )


def test_earlier_boot_is_dead(child: subprocess.Popen[bytes]) -> None:
    assert known(child.pid)._replace(boot_id="another").liveness() is Liveness.DEAD


def test_other_pid_namespace_is_never_judged(child: subprocess.Popen[bytes]) -> None:
    identity = known(child.pid)
    assert identity._replace(pid_namespace=identity.pid_namespace + 1).liveness() is Liveness.FOREIGN


def test_name_full_of_brackets_hides_nothing() -> None:
    code = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'a) Z 1 (b', 0, 0, 0); print(1, flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        assert known(process.pid).is_alive
    finally:
        process.communicate(b"")


def test_identity_comes_back_from_its_file() -> None:
    identity = identify_self()
    assert identity_from_json(identity_to_json(identity)) == identity
    assert identity_to_json(None) is None


@pytest.mark.parametrize(
    "value", [None, 5, [], {}, {"pid": os.getpid()}, {**identify_self()._asdict(), "pid": 1e999},
              {**identify_self()._asdict(), "start_ticks": "x"}]
)  # fmt: skip
def test_damaged_identity_is_none(value: object) -> None:
    assert identity_from_json(value) is None
