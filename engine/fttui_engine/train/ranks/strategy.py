"""How several processes share the work: each with the whole model (DDP), or with a part of it (FSDP2)."""

import dataclasses
from typing import Any, NamedTuple

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.spec.lint.ranks import obstacles_to_dividing
from fttui_engine.train.errors import CheckpointError
from fttui_engine.train.ranks.group import Ranks

SINGLE, DDP, FSDP, DEEPSPEED = "single", "ddp", "fsdp", "deepspeed"

# Of a card's memory; the rest is the CUDA context, NCCL's buffers and what the prediction misses.
_USABLE = 0.9


class Strategy(NamedTuple):
    """What was chosen and why, in words for the log."""

    name: str
    reason: str

    def settle(self, config: TrainingConfig) -> TrainingConfig:
        """Return the configuration in which ``fsdp`` and ``deepspeed`` are set exactly where they divide."""
        if self.name != DEEPSPEED:
            config = dataclasses.replace(config, deepspeed=None)
        if self.name != FSDP:
            return dataclasses.replace(config, fsdp="no")
        return config if config.fsdp != "no" else dataclasses.replace(config, fsdp="full_shard")


def choose_strategy(config: TrainingConfig, wanted: str, ranks: Ranks) -> Strategy:
    """Return how the ranks share the work: as asked, else DDP where each GPU has room for the whole model."""
    if ranks.count == 1:
        # A checkpoint is the same whatever strategy wrote it, so that one process may go on with it.
        return Strategy(SINGLE, "there is one process")
    if config.deepspeed is not None:
        return Strategy(DEEPSPEED, f"as {config.deepspeed} says")
    if config.fsdp != "no":
        return Strategy(FSDP, "as asked for")
    if wanted in (DDP, FSDP):
        return Strategy(wanted, "as asked for")
    import torch

    if config.use_cpu or not torch.cuda.is_available():
        return Strategy(DDP, "processes on one host share its memory anyway")
    # Of the GPU that each rank has: on other hosts they may be smaller.
    own_bytes = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    room_bytes = int(min(room for (room,) in ranks.gather([float(own_bytes)])))
    chosen: Strategy = ranks.share(
        by_room(config, _predicted_bytes(config, ranks.count), room_bytes) if ranks.is_main else None
    )
    return chosen


def by_room(config: TrainingConfig, needed_bytes: int | None, room_bytes: int) -> Strategy:
    """Return DDP where a GPU has room for what one process needs with the whole model, else FSDP where it can divide."""
    if needed_bytes is None:
        return Strategy(DDP, "nothing is known of the memory it takes; fsdp is the other way")
    sizes = f"(predicted {needed_bytes / 2**30:.1f} of {room_bytes / 2**30:.1f} GiB)"
    if needed_bytes < _USABLE * room_bytes:
        return Strategy(DDP, f"each GPU has room for the whole model {sizes}")
    obstacle = next(obstacles_to_dividing(dataclasses.asdict(config)), None)
    if obstacle:
        return Strategy(DDP, f"though memory is short {sizes}: {obstacle.text}")
    return Strategy(FSDP, f"no GPU has room for the whole model {sizes}")


def _predicted_bytes(config: TrainingConfig, count: int) -> int | None:
    """Return what one process is predicted to take with a model of its own, ``None`` where nothing is known."""
    from transformers import AutoConfig

    from fttui_engine.spec.memory.model_shape import UnknownShapeError
    from fttui_engine.spec.memory.peak import predict
    from fttui_engine.spec.memory.shape_reading import read_shape
    from fttui_engine.spec.memory.workload import read_workload
    from fttui_engine.train.models.load import find_model

    source = find_model(config)
    model_config: Any = AutoConfig.from_pretrained(source.name_or_path, **source.arguments)
    values = dataclasses.asdict(config)
    try:
        shape = read_shape(model_config.to_dict())
        return predict(shape, read_workload(values, shape, on_cpu=False, processes=count)).predicted_bytes
    except UnknownShapeError:
        return None


def keep_batch(config: TrainingConfig, planned: int, ranks: Ranks) -> TrainingConfig:
    """Return the configuration for another number of processes than it was written for, with the same batch per step.

    Raises CheckpointError where that is impossible; ``fttui resume`` has refused it before.
    """
    micro_batches = config.gradient_accumulation_steps * planned
    if micro_batches % ranks.count:
        raise CheckpointError(
            f"{micro_batches} batches per step cannot be shared equally among {ranks.count} processes",
            f"take a number of processes that divides {micro_batches}",
        )
    return dataclasses.replace(config, gradient_accumulation_steps=micro_batches // ranks.count)
