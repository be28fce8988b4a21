"""The launchers of one training on real hosts, each with its own network: a cable that is pulled is named on both ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fttui_engine
from fttui_engine.runs.attempt import Attempt, Launch, Outcome, Request
from fttui_engine.runs.run import Run
from fttui_engine.train.ranks.place import Node, Place, ranks_argv
from run_driver import is_running, until
from several_hosts import Host, Laboratory, laboratory

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root may make network namespaces")

PORT = 29400
# In place of a training: says which place it got, and stays for ever.
STANDIN = """
import os, sys, time
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
print("place", *(os.environ[name] for name in names), flush=True)
time.sleep(600)
"""


class Part:
    """The part of a run that one host has."""

    def __init__(self, host: Host, place: Place, folder: Path) -> None:
        self.host, self.place = host, place
        run = Run(folder / host.name / "run")
        self.attempt: Attempt = run.attempt(1)
        self.attempt.create(Request("scratch"))
        self.attempt.write_launch(Launch(["worker"], {}, "/", None, None))
        (folder / "standin.py").write_text(STANDIN)
        roots = [str(Path(fttui_engine.__file__).parents[1]), str(folder)]
        self._environment = os.environ | {
            "FTTUI_RUN": "run",
            "FTTUI_RUN_DIR": str(run.path),
            "FTTUI_ATTEMPT": "1",
            "PYTHONPATH": os.pathsep.join(roots),
            # Whoever started us was one of many, too.
            "RANK": "7",
            "NODE_RANK": "0",
        }

    def start(self) -> None:
        words = [sys.executable, "-m", "fttui_engine.train.ranks", *ranks_argv(self.place), "standin"]
        with self.attempt.log_path.open("wb") as log:
            self.launcher = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.host.namespace}", "--", *words],
                env=self._environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.attempt.log_path.read_text()

    def places(self) -> list[str]:
        return sorted(line for line in self.log.splitlines() if line.startswith("place "))

    def ended(self, seconds: float) -> Outcome:
        assert self.launcher.wait(seconds) == 1, self.log
        outcome = self.attempt.read_outcome()
        assert outcome is not None
        return outcome

    def close(self) -> None:
        if self.launcher.poll() is None:
            os.killpg(self.launcher.pid, signal.SIGKILL)
            self.launcher.wait()


@pytest.fixture(scope="module")
def lab() -> Iterator[Laboratory]:
    with laboratory("h1", "h2") as built:
        yield built


Parts = Callable[..., list[Part]]


@pytest.fixture
def parts(lab: Laboratory, tmp_path: Path) -> Iterator[Parts]:
    made: list[Part] = []

    def make(*, lost_seconds: float = 4.0, meet_seconds: float = 30.0) -> list[Part]:
        nodes = (Node("h1", 1), Node("h2", 2))
        for number, host in enumerate(lab.hosts):
            address = lab.hosts[0].address
            place = Place(nodes, number, address, PORT, meet_seconds=meet_seconds, lost_seconds=lost_seconds)
            made.append(Part(host, place, tmp_path))
        for part in reversed(made):
            part.start()
        return made

    yield make
    for part in made:
        part.close()
    for host in lab.hosts:
        host.plug_in()
        host.open_firewall()


def test_a_pulled_cable_ends_both_sides_with_the_name_of_the_other(parts: Parts) -> None:
    first, second = parts()
    until(lambda: len(first.places()) == 1 and len(second.places()) == 2, "all ranks", 30.0)
    address = first.place.master_address
    interfaces = {line.split()[-1] for part in (first, second) for line in part.places()}
    # The one that leads to the others, also on the host that reaches itself over the loopback device.
    assert not interfaces & {"lo", ""}
    assert [line.split()[1:5] for line in [*first.places(), *second.places()]] == [
        [str(rank), str(local), "3", address] for rank, local in ((0, 0), (1, 0), (2, 1))
    ]
    assert "ranks: h2 (node 1 of 2) is there" in first.log
    pids = [pid for part in (first, second) for pid in part.host.pids() if _is_rank(pid)]
    assert len(pids) == 3

    second.host.unplug()
    pulled = time.monotonic()
    # 4 s until it is noticed, 10 s in which ranks that hang may end by themselves.
    outcomes = [first.ended(40.0), second.ended(40.0)]
    assert time.monotonic() - pulled > 2.0
    assert [outcome.kind for outcome in outcomes] == ["node_lost", "node_lost"]
    assert outcomes[0].message.startswith("h2 (node 1 of 2) has not answered for 4 s")
    assert outcomes[1].message.startswith("h1 (node 0 of 2) has not answered for 4 s")
    assert not any(map(is_running, pids))


def test_a_firewall_on_the_port_is_said_on_both_sides(parts: Parts, lab: Laboratory) -> None:
    lab.hosts[0].firewall("DROP", str(PORT))
    first, second = parts(meet_seconds=7.0)
    missing = first.ended(40.0)
    assert (missing.kind, missing.step) == ("meeting", 0)
    assert missing.message.startswith("H2 (node 1 of 2) did not come within 7 s")
    assert "no answer" in second.ended(40.0).message
    # No rank was started, and so no GPU taken.
    assert first.places() == second.places() == []


def _is_rank(pid: int) -> bool:
    try:
        return (
            b"\0standin\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
            and b"ranks" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
    except OSError:
        return False
