"""``python -P -m fttui_engine.train.ranks.slurm COUNT``: one attempt on all nodes of a job of Slurm, COUNT ranks on each.

It is started on the job's first node and becomes srun, which starts the launcher of ranks on each of them; that one
learns from SLURM_NODEID which node it is. Stops come by file, as on one host; should srun be killed, the launchers on
the other nodes lose the first one and end. Standard library only.
"""

import os
import shutil
import socket
import subprocess
import sys

from fttui_engine.train.ranks.place import Node, Place, ranks_argv

STRAGGLER_SECONDS = 1800
"""How long srun waits for the last node once one has ended well: rank 0 may be writing a large model."""

# Fixed text: what follows comes as words of its own, and is never read as a script.
_WITH_NODE = 'exec "$@" "--node=$SLURM_NODEID"'


def main() -> int:
    """Become srun; returns only where the job's nodes cannot be found out."""
    try:
        names = _output("scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]).split()
        address = _address_towards(names[-1])
    except (KeyError, IndexError, OSError, subprocess.SubprocessError) as error:
        print(f"fttui: the nodes of this job cannot be found out: {error}", file=sys.stderr, flush=True)
        return 1
    place = Place(
        tuple(Node(name, int(sys.argv[1])) for name in names),
        master_address=address,
        master_port=_free_port(address),
        is_shared=True,
    )
    words = [word for word in ranks_argv(place) if not word.startswith("--node=")]
    launcher = [sys.executable, "-P", "-m", "fttui_engine.train.ranks", *words]
    count = len(names)
    srun = [shutil.which("srun") or "srun", f"--nodes={count}", f"--ntasks={count}", "--ntasks-per-node=1"]
    # The launchers end each other, and say why; killed at once by srun they could not.
    srun += ["--kill-on-bad-exit=0", f"--wait={STRAGGLER_SECONDS}", "--export=ALL", "--unbuffered"]
    environment = dict(os.environ)
    if cpus := environment.get("SLURM_CPUS_PER_TASK"):
        environment["SRUN_CPUS_PER_TASK"] = cpus  # since 22.05 a step does not take it over by itself
    os.execve(srun[0], [*srun, "sh", "-c", _WITH_NODE, "sh", *launcher], environment)


def _output(*command: str) -> str:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True
    ).stdout


def _address_towards(name: str) -> str:
    """Return the address of this host that another node reaches it at, by Slurm's own word for that node."""
    fields = _output("scontrol", "--oneliner", "show", "node", name).split()
    there = next((each.partition("=")[2] for each in fields if each.startswith("NodeAddr=")), name)
    family, kind, _, _, where = socket.getaddrinfo(there, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(where)  # sends nothing; the kernel only chooses the way
        return str(probe.getsockname()[0])


def _free_port(address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
