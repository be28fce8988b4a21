"""What a rank is told about its place, by the names that torch and torchrun have for it."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from fttui_engine.train.ranks.place import Place

# Of a shell, a Slurm step or a torchrun around us: taken over, every host would be the first (LLaMA-Factory #6015).
_INHERITED = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "NODE_RANK",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "FTTUI_NODES",
    "FTTUI_SHARED",
    "FTTUI_PLANNED_RANKS",
    "FTTUI_RENDEZVOUS_FD",
)


def without_inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the place that another launcher gave this one."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _INHERITED and not name.startswith("TORCHELASTIC_")
    }


def of_rank(place: Place, local_rank: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of one rank of this host."""
    threads = max(1, len(os.sched_getaffinity(0)) // place.here.ranks)
    ours = {
        "RANK": str(place.first_rank + local_rank),
        "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(place.world_size),
        "LOCAL_WORLD_SIZE": str(place.here.ranks),
        "MASTER_ADDR": place.master_address,
        "MASTER_PORT": str(place.master_port),
    }
    defaults = {"OMP_NUM_THREADS": str(threads)}
    if len(place.nodes) == 1:
        # gloo would otherwise listen at the address that the host's name resolves to, if it resolves at all.
        return {**defaults, "GLOO_SOCKET_IFNAME": "lo", **environment, **ours}
    ours |= {
        "GROUP_RANK": str(place.number),
        "FTTUI_NODES": ",".join(f"{node.name}:{node.ranks}" for node in place.nodes),
    }
    if place.is_shared:
        ours["FTTUI_SHARED"] = "1"
    if place.planned:
        ours["FTTUI_PLANNED_RANKS"] = str(place.planned)
    if interface := place.interface or interface_to(place.master_address, place.master_port):
        ours |= {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface}
    return {**defaults, **environment, **ours}


def interface_to(address: str, port: int) -> str | None:
    """Return the network interface over which an address is reached, ``None`` where that cannot be told."""
    import socket

    import psutil

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing; the kernel only chooses the way.
            probe.connect((address, port))
        except OSError:
            return None
        ours = probe.getsockname()[0]
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address.partition("%")[0] == ours for each in addresses):
            return name
    return None


class WorkerPlace(NamedTuple):
    """The place of this process, as its environment has it."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    node: int = 0
    nodes: tuple[str, ...] = ()
    """The names of the hosts, empty where there is one only, or nobody said."""
    is_shared: bool = True
    planned: int | None = None
    """The number of ranks that the configuration was written for; ``None`` where it says so itself."""


def read_worker_place(environment: Mapping[str, str]) -> WorkerPlace:
    """Return the place that our launcher or torchrun gave this process."""
    if "RANK" not in environment or "FTTUI_RUN_DIR" not in environment:
        return WorkerPlace()
    count = int(environment["WORLD_SIZE"])
    nodes = tuple(each.partition(":")[0] for each in environment.get("FTTUI_NODES", "").split(",") if each)
    several = count != int(environment.get("LOCAL_WORLD_SIZE", count))
    # torchrun's and several hosts' ranks are in no configuration: as with torchrun, the batch is that of all there are.
    planned = (
        int(environment.get("FTTUI_PLANNED_RANKS", count))
        if nodes or "TORCHELASTIC_RUN_ID" in environment
        else None
    )
    return WorkerPlace(
        int(environment["RANK"]),
        count,
        int(environment.get("LOCAL_RANK", environment["RANK"])),
        int(environment.get("GROUP_RANK", 0)),
        nodes,
        "FTTUI_SHARED" in environment or not several,
        planned,
    )
