"""How the processes of a run share weights, gradients and optimizer states, and what each has to hold for it."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.spec.memory.model_shape import UnknownShapeError

# Larger ones are not configurations.
LARGEST_DEEPSPEED_BYTES = 1_000_000


class Sharing(NamedTuple):
    """Who holds what: ``one`` process, ``ddp``, ``fsdp``, or DeepSpeed's ``zero1``, ``zero2`` and ``zero3``."""

    strategy: str
    processes: int
    # FSDP: whether gathered weights are kept between forward and backward (shard_grad_op).
    keeps_gathered: bool = False
    # DeepSpeed only: what waits in host memory.
    offloads_optimizer: bool = False
    offloads_weights: bool = False

    @property
    def divides_weights(self) -> bool:
        """Whether a process holds a part of the weights only, and gathers one block after the other."""
        return self.strategy in ("fsdp", "zero3")

    @property
    def divides_gradients(self) -> bool:
        """Whether a process keeps its part of the gradients only."""
        return self.strategy in ("fsdp", "zero2", "zero3")

    @property
    def divides_optimizer(self) -> bool:
        """Whether a process keeps its part of the optimizer's states only."""
        return self.strategy not in ("one", "ddp")

    @property
    def is_deepspeed(self) -> bool:
        """Whether DeepSpeed shares, which keeps 16-bit weights and float32 copies of them in the optimizer."""
        return self.strategy.startswith("zero")

    def part(self, size_bytes: int) -> int:
        """One process's part of something that is divided."""
        return -(-size_bytes // self.processes)


ONE = Sharing("one", 1)


def read_sharing(values: dict[str, Any], processes: int) -> Sharing:
    """How several processes of this configuration share; raises UnknownShapeError where that cannot be told."""
    strategy = values.get("run", {}).get("strategy", "auto")
    if strategy == "deepspeed" or values.get("deepspeed"):
        return _deepspeed(values.get("deepspeed"), processes)
    divides = strategy == "fsdp" or values.get("fsdp", "no") != "no"
    return Sharing(
        "fsdp" if divides else "ddp", processes, keeps_gathered=values.get("fsdp") == "shard_grad_op"
    )


def _deepspeed(setting: Any, processes: int) -> Sharing:
    """What a DeepSpeed configuration (a file or a block) says of ZeRO."""
    content = setting
    if isinstance(setting, str):
        try:
            path = Path(setting)
            if path.stat().st_size > LARGEST_DEEPSPEED_BYTES:
                raise UnknownShapeError(f"{path} is too large to be a DeepSpeed configuration.")
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            raise UnknownShapeError(f"{setting} cannot be read, so it is not known who holds what.") from None
    zero = content.get("zero_optimization") if isinstance(content, dict) else None
    stage = zero.get("stage", 0) if isinstance(zero, dict) else None
    if not isinstance(zero, dict) or stage not in (0, 1, 2, 3):
        raise UnknownShapeError("Memory is not predicted for DeepSpeed without zero_optimization.stage.")
    return Sharing(
        f"zero{stage}" if stage else "ddp",
        processes,
        offloads_optimizer=_waits_in_host_memory(zero.get("offload_optimizer")),
        offloads_weights=_waits_in_host_memory(zero.get("offload_param")),
    )


def _waits_in_host_memory(setting: Any) -> bool:
    return isinstance(setting, dict) and setting.get("device") in ("cpu", "nvme")
