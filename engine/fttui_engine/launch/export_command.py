"""The command lines with which torchrun, and whatever starts torchrun, trains what a configuration says."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fttui_engine.errors import WrongRequestError
from fttui_engine.launch.start import require_ok

if TYPE_CHECKING:
    from fttui_engine.spec.resolved import Resolved

MODULE = "fttui_engine.train.job"
DEFAULT_PORT = 29400


def torchrun_lines(
    resolved: "Resolved", config: str, overrides: Sequence[str] = (), *, hosts: int = 1, master: str = ""
) -> list[str]:
    """Return the lines for a shell; those that begin with ``#`` are for people. Raises WrongRequestError."""
    require_ok(resolved)
    if resolved.run.command:
        raise WrongRequestError(
            f"{config} starts a program of its own (run.command)", "torchrun is for trainings of fttui"
        )
    if not resolved.values.get("output_dir"):
        raise WrongRequestError(
            f"{config} does not say where the result goes",
            "set output_dir: there is no run folder to put it in",
        )
    per_host = f"--nproc-per-node={resolved.run.process_count}"
    what = shlex.join(["-m", MODULE, config, *overrides])
    goes_on = "# Started again, it goes on from the newest checkpoint in output_dir."
    if hosts == 1:
        return [goes_on, f"torchrun --standalone {per_host} {what}"]
    address, _, port = master.rpartition(":")
    if not address:
        address, port = master or "ADDRESS", str(DEFAULT_PORT)
    where = f"--master-addr={shlex.quote(address.strip('[]'))} --master-port={shlex.quote(port)}"
    return [
        goes_on,
        f"# On each of the {hosts} hosts; NODE is 0 on the first, whose address {address} is, and counts up.",
        "# Where a host has several networks, in front: NCCL_SOCKET_IFNAME=eth0 GLOO_SOCKET_IFNAME=eth0",
        f'torchrun --nnodes={hosts} --node-rank="$NODE" {per_host} {where} --max-restarts=0 {what}',
    ]
