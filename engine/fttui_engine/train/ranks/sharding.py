"""Weights and optimizer states that FSDP2 divided among the ranks: put together again, and divided anew.

A checkpoint holds what one process would have written, file by file: so it can be resumed with any number of ranks and
by any strategy. For that one tensor at a time is put together on every rank, and rank 0 keeps them all in host memory;
fine up to 8B weights that are all trained, and for adapters on any model.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, distribute_tensor


def divide_on_cpu(accelerator: Any, plugin_arguments: Mapping[str, Any]) -> None:
    """Have accelerate divide weights on a CPU; by itself (1.15) it would keep them whole there, without a word."""
    from accelerate.state import PartialState  # type: ignore[import-untyped]
    from accelerate.utils import (  # type: ignore[import-untyped]
        DistributedType,
        FullyShardedDataParallelPlugin,
    )

    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(**plugin_arguments)
    accelerator.state.distributed_type = PartialState().distributed_type = DistributedType.FSDP


def division_precision(dtype: torch.dtype | None) -> MixedPrecisionPolicy:
    """Return how divided weights travel: rounded to ``dtype``, while gradients are summed up in float32.

    accelerate's own choice rounds gradients too, and the loss: it would be known to 8 bits.
    """
    # Where nothing is rounded, asking for float32 would fail on what no batch passes through, such as rm's language head.
    return MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32 if dtype else None)


def held_share(model: Any) -> float:
    """Return which part of the weights this process holds while it computes nothing."""
    weights = list(model.parameters())
    held = sum((each.to_local() if isinstance(each, DTensor) else each).numel() for each in weights)
    return float(held / sum(each.numel() for each in weights))


def gather_weights(model: Any, *, trained_only: bool, keep: bool) -> dict[str, torch.Tensor]:
    """Return the whole weights by name, in host memory; all ranks have to call, those that do not ``keep`` get none."""
    # Not out of the state_dict, where packed weights (bitsandbytes) bring along what only their owner understands.
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    weights: dict[str, torch.Tensor] = {}
    # One matrix for both ends of the vocabulary has two names and has to stay one. Not told by its address: of a value
    # head's one row all ranks but one have nothing, and nothing has no address.
    owners = {name: id(weight) for name, weight in model.named_parameters(remove_duplicate=False)}
    seen: dict[int, torch.Tensor] = {}
    for name, tensor in (trained if trained_only else model.state_dict()).items():
        owner = owners.get(name, id(tensor))
        if owner not in seen:
            whole = _whole(tensor)
            seen[owner] = whole.cpu() if keep else tensor
        if keep:
            weights[name] = seen[owner]
    return weights


def gather_optimizer(optimizer: Any, *, keep: bool) -> dict[str, Any]:
    """Return the optimizer's state as one process has it, in host memory; all ranks have to call."""
    state = optimizer.state_dict()
    whole = {
        index: {name: _kept(value, keep=keep) for name, value in values.items()}
        for index, values in state["state"].items()
    }
    return {**state, "state": whole}


def _kept(value: Any, *, keep: bool) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    whole = _whole(value)
    return whole.cpu() if keep else None


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def load_optimizer(optimizer: Any, state: Mapping[str, Any]) -> None:
    """Give the optimizer a state that one process has, each rank its own part of it."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    divided = {
        index: {name: _part(value, weights[index]) for name, value in values.items()}
        for index, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": divided})


def _part(value: Any, weight: torch.Tensor) -> Any:
    """Return this rank's part of a tensor that belongs to a divided weight; counters stay as they are."""
    if not isinstance(weight, DTensor) or not isinstance(value, torch.Tensor) or value.shape != weight.shape:
        return value
    # Every rank has read the same file, so nothing needs to be sent (src_data_rank=None).
    return distribute_tensor(
        value.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None
    )
