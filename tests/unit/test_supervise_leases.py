"""Leases and the line of waiting runs in a folder that belongs to everybody: what others may put there, and who is who."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fttui_engine.runs.queueing import QueueRequest
from fttui_engine.runs.run import Run
from fttui_engine.supervise.leases import (
    LeaseError,
    holder_of,
    is_of,
    lock_folder,
    release,
    take,
    take_all,
)
from fttui_engine.supervise.queue_line import LOST_SECONDS, Place, Ticket, in_order, ticket_name, who_waits

NOBODY = 65534
NAME = "gpu-0"


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTTUI_LOCKS", str(tmp_path / "locks"))
    return tmp_path / "locks"


def a_run(tmp_path: Path, name: str) -> Run:
    return Run(tmp_path / "runs" / name)


class Other:
    """Another process, of another user where this one may be so."""

    def __init__(self, work: Callable[[], object], user: int | None = None) -> None:
        ready, told = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                if user is not None:
                    os.setuid(user)
                os.write(told, b"y" if work() is not None else b"n")
                time.sleep(60)
            finally:
                os._exit(1)
        os.close(told)
        self.got_it = os.read(ready, 1) == b"y"
        os.close(ready)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def others() -> Iterator[list[Other]]:
    started: list[Other] = []
    yield started
    for other in started:
        other.kill()


def test_a_lease_has_one_holder_and_is_free_the_moment_that_one_is_killed(tmp_path: Path) -> None:
    ours, theirs = a_run(tmp_path, "ours"), a_run(tmp_path, "theirs")
    other = Other(lambda: take(NAME, theirs))
    holder = holder_of(NAME)
    assert other.got_it and holder and holder.run == "theirs"
    assert is_of(holder, theirs) and not is_of(holder, ours)
    assert take(NAME, ours) is None and take_all([NAME, "gpu-1"], ours) is None
    assert holder_of("gpu-1") is None, "all or nothing"
    other.kill()
    assert holder_of(NAME) is None
    descriptors = take_all([NAME, "gpu-1"], ours)
    assert descriptors is not None
    release(descriptors)


@pytest.fixture
def everybodys(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of locks that another user can get to, as nobody can get into pytest's own."""
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o711)
        monkeypatch.setenv("FTTUI_LOCKS", str(Path(parent, "locks")))
        yield Path(parent, "locks")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can play two users")
def test_users_of_one_host_exclude_and_name_each_other(
    tmp_path: Path, everybodys: Path, others: list[Other]
) -> None:
    # Whoever comes first makes the folder and the file; the other must be able to lock it all the same.
    ours, theirs = a_run(tmp_path, "ours"), a_run(tmp_path, "theirs")
    release([take(NAME, ours) or 0])
    others.append(Other(lambda: take(NAME, theirs), NOBODY))
    assert others[0].got_it and take(NAME, ours) is None
    assert str(holder_of(NAME)).startswith("theirs (")
    ticket = Ticket(ours, QueueRequest(2.0, 1))
    assert ticket.hold()
    others.append(Other(lambda: Ticket(theirs, QueueRequest(1.0, 1, priority=-100)).hold() or None, NOBODY))
    (first,) = ticket.ahead()
    assert (first.uid, who_waits(first).run) == (NOBODY, "theirs")
    ticket.leave()


def plant(path: Path, how: str) -> None:
    victim = path.parent.parent / "victim"
    victim.unlink(missing_ok=True)
    victim.write_text("precious")
    if how == "symlink":
        path.symlink_to(victim)
    elif how == "hard link":
        os.link(victim, path)
    elif how == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()


@pytest.mark.parametrize("how", ["symlink", "hard link", "pipe", "folder"])
def test_what_was_planted_in_the_shared_folder_is_refused(tmp_path: Path, how: str) -> None:
    run = a_run(tmp_path, "r")
    plant(lock_folder() / NAME, how)
    with pytest.raises(LeaseError, match=NAME):
        take(NAME, run)
    assert holder_of(NAME) is None
    assert (tmp_path / "victim").read_text() == "precious"
    request = QueueRequest(1.0, 1)
    plant(lock_folder() / ticket_name(a_run(tmp_path, "other"), request), how)
    ticket = Ticket(run, request)
    assert ticket.hold() and ticket.ahead() == []
    ticket.leave()


@pytest.mark.parametrize("mode", [0o777, 0o722])
def test_a_shared_folder_in_which_anybody_can_delete_is_refused(locks: Path, mode: int) -> None:
    locks.mkdir()
    locks.chmod(mode)
    with pytest.raises(LeaseError, match="not 1777"):
        lock_folder()


def test_a_link_in_place_of_the_shared_folder_is_refused(tmp_path: Path, locks: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o777)
    locks.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LeaseError, match="is no folder"):
        lock_folder()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00{", b"[]\n", b'{"run": 5, "uid": "x", "key": null}\n', b"x" * 9999]
)
def test_garbage_in_the_file_of_a_lease_changes_nothing(
    tmp_path: Path, others: list[Other], content: bytes
) -> None:
    others.append(Other(lambda: take(NAME, a_run(tmp_path, "theirs"))))
    (lock_folder() / NAME).write_bytes(content)
    holder = holder_of(NAME)
    assert holder and not is_of(holder, a_run(tmp_path, "ours"))
    assert len(str(holder)) <= 200 and take(NAME, a_run(tmp_path, "ours")) is None


def test_priorities_move_a_run_only_among_those_of_its_user() -> None:
    places = [
        Place("a1", 1, 0, 1),
        Place("b1", 2, 0, 2),
        Place("a2", 3, 50, 1),
        Place("b2", 4, 0, 2),
        Place("a3", 5, 50, 1),
    ]
    assert [each.name for each in in_order(places)] == ["a2", "b1", "a3", "b2", "a1"]


def test_a_ticket_that_nobody_holds_lets_the_others_pass_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = a_run(tmp_path, "lost")
    gone = Other(lambda: Ticket(lost, QueueRequest(1.0, 1)).hold() or None)
    ticket = Ticket(a_run(tmp_path, "r"), QueueRequest(2.0, 1))
    assert ticket.hold() and len(ticket.ahead()) == 1
    gone.kill()
    assert len(ticket.ahead()) == 1, "its supervisor may be followed by another"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + LOST_SECONDS + 1)
    assert ticket.ahead() == []
    assert os.listdir(lock_folder()) == [ticket.name]
    ticket.leave()
    assert os.listdir(lock_folder()) == []
