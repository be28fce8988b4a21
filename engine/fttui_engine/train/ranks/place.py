"""Which processes train together, on which hosts, and which of them are started here."""

import argparse
import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple

from fttui_engine.errors import WrongRequestError

# As in ~/.ssh/config; nothing in it means anything to a shell or to a log.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
MEET_SECONDS = 600.0
"""How long a host waits for the others: one may copy a model first, or wait for its disk."""
LOST_SECONDS = 15.0
"""After so long without an answer a host counts as lost. gloo would wait for 30 minutes, NCCL for ten."""


class Node(NamedTuple):
    """One host of a training."""

    name: str
    ranks: int


class Place(NamedTuple):
    """All hosts of a training, and which of them this is."""

    nodes: tuple[Node, ...]
    number: int = 0
    master_address: str = "127.0.0.1"
    """Of the first host, as all others reach it; never a name, which gloo may resolve to the loopback device."""
    master_port: int = 0
    interface: str | None = None
    """The network interface that leads to the others; found out where it is not given."""
    is_shared: bool = False
    """The run's folder and its output folder are the same on all hosts."""
    meet_seconds: float = MEET_SECONDS
    lost_seconds: float = LOST_SECONDS
    planned: int | None = None
    """The number of ranks that the configuration was written for, whose batch is kept; ``None`` where it is that of now."""

    @property
    def world_size(self) -> int:
        """The number of ranks on all hosts."""
        return sum(node.ranks for node in self.nodes)

    @property
    def here(self) -> Node:
        """The host that this process is on."""
        return self.nodes[self.number]

    @property
    def first_rank(self) -> int:
        """The first rank of this host among those of all."""
        return self.first_rank_of(self.number)

    def first_rank_of(self, number: int) -> int:
        """Return the first rank of a host among those of all."""
        return sum(node.ranks for node in self.nodes[:number])

    def node_of(self, rank: int) -> Node:
        """Return the host that a rank is on."""
        return next(
            node for number, node in enumerate(self.nodes) if rank < self.first_rank_of(number) + node.ranks
        )

    def shown(self, number: int) -> str:
        """Return a host as a person knows it."""
        return f"{self.nodes[number].name} (node {number} of {len(self.nodes)})"


def alone(count: int) -> Place:
    """Return the place of so many ranks on this host."""
    return Place((Node("localhost", count),))


def ranks_argv(place: Place) -> list[str]:
    """Return the arguments of ``python -P -m fttui_engine.train.ranks`` for one host of a training."""
    if len(place.nodes) == 1:
        return [str(place.world_size)]
    argv = [
        ",".join(f"{node.name}:{node.ranks}" for node in place.nodes),
        f"--node={place.number}",
        f"--master={_with_port(place.master_address, place.master_port)}",
        f"--meet-seconds={place.meet_seconds:g}",
        f"--lost-seconds={place.lost_seconds:g}",
    ]
    if place.interface:
        argv.append(f"--interface={place.interface}")
    if place.planned:
        argv.append(f"--planned={place.planned}")
    return [*argv, "--shared"] if place.is_shared else argv


def read_place(argv: Sequence[str]) -> tuple[Place, str]:
    """Return the place and the module to start of the launcher's arguments; raises WrongRequestError."""
    parser = argparse.ArgumentParser(prog="python -m fttui_engine.train.ranks", exit_on_error=False)
    parser.add_argument("ranks", help="COUNT, or HOST:COUNT,HOST:COUNT")
    parser.add_argument("module", nargs="?", default="fttui_engine.train")
    parser.add_argument("--node", type=int, default=0, help="which of the hosts this is, from 0")
    parser.add_argument("--master", help="ADDRESS:PORT of the first host, as all others reach it")
    parser.add_argument("--interface", help="network interface that leads to the others")
    parser.add_argument("--shared", action="store_true", help="all hosts see the same run and output folder")
    parser.add_argument("--planned", type=int, help="number of ranks whose batch is to be kept")
    parser.add_argument("--meet-seconds", type=float, default=MEET_SECONDS)
    parser.add_argument("--lost-seconds", type=float, default=LOST_SECONDS)
    try:
        # A module behind options is only found this way.
        asked = parser.parse_intermixed_args(list(argv))
    except argparse.ArgumentError as error:
        raise WrongRequestError(
            str(error), "python -m fttui_engine.train.ranks --help names them all"
        ) from error
    if asked.ranks.isdigit() and int(asked.ranks) > 0:
        return alone(int(asked.ranks)), asked.module
    nodes = _read_nodes(asked.ranks)
    if not 0 <= asked.node < len(nodes):
        raise WrongRequestError(
            f"--node {asked.node}: there are {len(nodes)} hosts",
            f"give 0 to {len(nodes) - 1}, the first is 0",
        )
    address, port = _read_master(asked.master)
    if not (1 <= asked.meet_seconds <= 86400 and 3 <= asked.lost_seconds <= 3600):
        raise WrongRequestError(
            "--meet-seconds is 1 to 86400, --lost-seconds 3 to 3600", "leave them out for 600 and 15"
        )
    place = Place(
        nodes,
        asked.node,
        address,
        port,
        asked.interface,
        asked.shared,
        asked.meet_seconds,
        asked.lost_seconds,
        asked.planned,
    )
    return place, asked.module


def _read_nodes(text: str) -> tuple[Node, ...]:
    nodes = []
    for part in text.split(","):
        name, _, count = part.rpartition(":")
        if not (_NAME.fullmatch(name) and count.isdigit() and 0 < int(count) <= 1024):
            raise WrongRequestError(
                f"{part!r} is no host with its number of ranks", "write HOST:COUNT, such as h1:4"
            )
        nodes.append(Node(name, int(count)))
    if len({node.name for node in nodes}) != len(nodes):
        raise WrongRequestError(f"a host stands twice in {text}", "name each host once, with all its ranks")
    return tuple(nodes)


def _read_master(text: str | None) -> tuple[str, int]:
    address, _, port = (text or "").rpartition(":")
    address = address.strip("[]")
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        raise WrongRequestError(
            f"--master {text}: {address or 'nothing'} is no address",
            "give the address and a port of the first host, such as 10.0.0.1:29400; names may lead to the loopback device",
        ) from error
    if not (port.isdigit() and 0 < int(port) < 65536):
        raise WrongRequestError(f"--master {text}: {port!r} is no port", "give one of 1024 to 65535")
    return address, int(port)


def _with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
