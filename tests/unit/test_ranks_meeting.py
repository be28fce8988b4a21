"""Launchers of several hosts meet before any rank is started: who is late or wrong is named, and nobody waits for ever."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from fttui_engine.errors import WrongRequestError
from fttui_engine.train.ranks.environment import interface_to, of_rank, read_worker_place, without_inherited
from fttui_engine.train.ranks.lifeline import Lifeline
from fttui_engine.train.ranks.meeting import (
    Arrival,
    MeetingError,
    MeetingStoppedError,
    Met,
    common_step,
    meet,
)
from fttui_engine.train.ranks.peers import NODE_LOST, PeerFailure, Peers
from fttui_engine.train.ranks.place import Node, Place, alone, ranks_argv, read_place

NODES = (Node("h1", 2), Node("h2", 1), Node("h3", 1))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def place(index: int, port: int, *, seconds: float = 20.0, nodes: tuple[Node, ...] = NODES) -> Place:
    return Place(nodes, index, "127.0.0.1", port, meet_seconds=seconds, lost_seconds=3.0)


class Hosts:
    """Launchers that meet, each in a thread."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._met: list[Met] = []
        self.stop = threading.Event()

    def come(self, where: Place, run_id: str = "run", steps: tuple[int, ...] = ()) -> Future[Met]:
        return self._threads.submit(self._come, where, Arrival(run_id, steps))

    def _come(self, where: Place, arrival: Arrival) -> Met:
        met = meet(where, arrival, self.stop.is_set)
        self._met.append(met)
        return met

    def close(self) -> None:
        self.stop.set()
        for met in self._met:
            for lifeline in met.lifelines.values():
                lifeline.close()
            if met.listener:
                met.listener.close()


@contextmanager
def some_hosts() -> Iterator[Hosts]:
    with ThreadPoolExecutor(4) as threads:
        hosts = Hosts(threads)
        try:
            yield hosts
        finally:
            hosts.close()


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with some_hosts() as there:
        yield there


def refusal(future: "Future[Any]") -> str:
    with pytest.raises(MeetingError) as caught:
        future.result(30)
    return f"{caught.value.message}; {caught.value.hint}"


def test_all_hosts_meet_in_any_order_and_go_on_from_what_all_have(hosts: Hosts) -> None:
    port = free_port()
    last = hosts.come(place(2, port), steps=(5, 10))
    first = hosts.come(place(0, port), steps=(5, 10, 15))
    second = hosts.come(place(1, port), steps=(10, 15))
    assert [future.result(30).resume_step for future in (first, second, last)] == [10, 10, 10]
    # The port is held until rank 0 has it.
    assert first.result().listener is not None
    assert set(first.result().lifelines) == {1, 2}
    assert set(second.result().lifelines) == set(last.result().lifelines) == {0}


def test_who_does_not_come_is_named_to_those_that_came(hosts: Hosts) -> None:
    port = free_port()
    first, second = hosts.come(place(0, port, seconds=1.0)), hosts.come(place(1, port))
    assert refusal(first).startswith("h3 (node 2 of 3) did not come within 1 s")
    assert "h1 (node 0 of 3) ended the start: h3 (node 2 of 3) did not come" in refusal(second)


def test_a_first_host_that_does_not_listen_is_named_with_the_reason(hosts: Hosts) -> None:
    port = free_port()
    sentence = refusal(hosts.come(place(1, port, seconds=1.0)))
    assert (
        f"h1 (node 0 of 3) at 127.0.0.1 port {port} was not reached within 1 s: Connection refused"
        in sentence
    )


def test_a_port_that_another_program_has_is_said_on_both_sides(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How long a stranger may be silent; the test does not want to wait for the 5 s.
    monkeypatch.setattr("fttui_engine.train.ranks.meeting._HELLO_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        first, second = hosts.come(place(0, port)), hosts.come(place(1, port, seconds=2.0))
        assert f"another program of h1 has 127.0.0.1 port {port}" in refusal(first)
        assert "another program answers there" in refusal(second)


@pytest.mark.parametrize(
    ("where", "run_id", "words"),
    [
        (place(1, 0), "other", "here is run run, and not other"),
        (place(1, 0, nodes=(Node("h1", 2), Node("h2", 2))), "run", "other hosts or other numbers of ranks"),
    ],
)
def test_a_host_of_another_training_is_sent_away(hosts: Hosts, where: Place, run_id: str, words: str) -> None:
    port = free_port()
    two = NODES[:2]
    first = hosts.come(place(0, port, nodes=two))
    assert words in refusal(hosts.come(where._replace(master_port=port), run_id))
    # Nobody was harmed: the right one may still come.
    right = hosts.come(place(1, port, nodes=two))
    assert first.result(30).resume_step == right.result(30).resume_step is None


def test_a_stranger_who_says_nothing_or_nonsense_holds_nobody_up(hosts: Hosts) -> None:
    port, two = free_port(), NODES[:2]
    first = hosts.come(place(0, port, nodes=two))
    deadline = time.monotonic() + 20
    while True:
        try:
            silent = socket.create_connection(("127.0.0.1", port))
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
    with silent, socket.create_connection(("127.0.0.1", port)) as loud:
        loud.sendall(b'GET / HTTP/1.1\r\n\r\n[1]\n{"node": "x"}\n')
        second = hosts.come(place(1, port, nodes=two))
        assert set(first.result(30).lifelines) == {1}
        assert second.result(30).resume_step is None


def test_a_stop_is_heard_while_hosts_are_missing(hosts: Hosts) -> None:
    port = free_port()
    first, second = hosts.come(place(0, port)), hosts.come(place(1, port))
    hosts.stop.set()
    for future in (first, second):
        with pytest.raises(MeetingStoppedError):
            future.result(30)


def test_a_host_that_lost_its_checkpoints_does_not_make_all_begin_anew() -> None:
    where = place(0, 1)
    assert common_step(where, {0: (), 1: (), 2: ()}) is None
    assert common_step(where, {0: (5, 10), 1: (5,), 2: (5, 10)}) == 5
    with pytest.raises(MeetingError, match=r"h3 \(node 2 of 3\) lacks checkpoint-10, which h1") as caught:
        common_step(where, {0: (5, 10), 1: (5,), 2: ()})
    assert "h2" in str(caught.value)


def test_a_failure_is_told_to_every_host_and_a_lost_one_is_named(hosts: Hosts) -> None:
    port = free_port()
    met = [hosts.come(place(index, port)) for index in range(3)]
    peers = [Peers(place(index, port), future.result(30).lifelines) for index, future in enumerate(met)]
    assert peers[1].news(0.0) is None

    from fttui_engine.runs.attempt import Outcome

    failure = PeerFailure(2, Outcome("failed", 7, 20, "Rank 3 of 4 on h3: the GPU is gone.", "", "gpu_lost"))
    peers[2].tell(failure)
    assert peers[0].news(10.0) == failure
    peers[0].tell(failure)
    assert peers[1].news(10.0) == failure

    peers[2].leave()
    assert peers[0].news(1.0) is None
    # Without a goodbye: as when its launcher is killed.
    met[1].result().lifelines[0].close()
    lost = peers[0].news(10.0)
    assert lost is not None
    assert (lost.node, lost.outcome.kind) == (1, NODE_LOST)
    assert lost.outcome.message.startswith("h2 (node 1 of 3) ended the connection without a word")


def test_a_silent_connection_is_given_up_after_the_time_asked_for() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with theirs, socket.create_server(("127.0.0.1", 0)) as server:
        ours.close()
        connection = socket.create_connection(server.getsockname())
        lifeline = Lifeline(connection, 15.0)
        options = {
            name: connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        }
        lifeline.close()
    assert options["TCP_KEEPIDLE"] + options["TCP_KEEPINTVL"] * options["TCP_KEEPCNT"] <= 15
    assert options["TCP_USER_TIMEOUT"] < 15_000


def test_ranks_are_numbered_over_hosts_and_inherit_no_other_place() -> None:
    where = Place(NODES, 1, "127.0.0.1", 29400)
    assert (where.world_size, where.first_rank, where.node_of(1).name, where.node_of(3).name) == (
        4,
        2,
        "h1",
        "h3",
    )
    inherited = without_inherited(
        {"RANK": "0", "NODE_RANK": "0", "TORCHELASTIC_USE_AGENT_STORE": "True", "HOME": "/root"}
    )
    assert inherited == {"HOME": "/root"}
    environment = of_rank(where, 0, inherited)
    assert {name: environment[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")} == {
        "RANK": "2",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "4",
        "LOCAL_WORLD_SIZE": "1",
    }
    assert (
        environment["GLOO_SOCKET_IFNAME"] == environment["NCCL_SOCKET_IFNAME"] == interface_to("127.0.0.1", 1)
    )
    worker = read_worker_place(environment | {"FTTUI_RUN_DIR": "/x"})
    assert (worker.rank, worker.world_size, worker.node, worker.nodes) == (2, 4, 1, ("h1", "h2", "h3"))
    assert not worker.is_shared
    # One host: gloo must not look its name up, and nothing is written twice.
    one = read_worker_place(of_rank(alone(2), 1, {}) | {"FTTUI_RUN_DIR": "/x"})
    assert (one.rank, one.world_size, one.is_shared, one.planned) == (1, 2, True, None)


def test_the_launchers_arguments_say_the_whole_place() -> None:
    where = Place(NODES, 2, "fd00::1", 29400, "eth1", True, 60.0, 20.0, 8)
    assert read_place(ranks_argv(where)) == (where, "fttui_engine.train")
    assert read_place([*ranks_argv(where), "fttui_engine.train.probe"]) == (where, "fttui_engine.train.probe")
    assert read_place(["2", "fttui_engine.train.probe"]) == (alone(2), "fttui_engine.train.probe")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["h1:1,h2:1", "--master", "h1:29400"], "h1 is no address"),
        (["h1:1,h2:1", "--master", "10.0.0.1:x"], "'x' is no port"),
        (["h1:1,h2:1"], "nothing is no address"),
        (["h1:1,h2", "--master", "10.0.0.1:1"], "HOST:COUNT"),
        (["h1:1,-x:1", "--master", "10.0.0.1:1"], "HOST:COUNT"),
        (["h1:1,h1:1", "--master", "10.0.0.1:1"], "twice"),
        (["h1:1,h2:1", "--node", "2", "--master", "10.0.0.1:1"], "the first is 0"),
        (["0"], "HOST:COUNT"),
        (["h1:1,h2:1", "--node", "x"], "--node"),
    ],
)
def test_a_place_that_cannot_be_is_refused_with_what_to_write(argv: list[str], words: str) -> None:
    with pytest.raises(WrongRequestError) as caught:
        read_place(argv)
    assert words in f"{caught.value.message}; {caught.value.hint}"
