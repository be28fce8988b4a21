"""One precision for all ranks: gradients of cards that round differently do not belong together."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

from fttui_engine.hardware.capability import Capability, rules_for
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import RanksError
from fttui_engine.train.ranks.group import Ranks


class RankCard(NamedTuple):
    """The GPU of one rank."""

    host: str
    name: str
    capability: Capability


def for_every_card(config: TrainingConfig, ranks: Ranks, log: Callable[[str], None]) -> TrainingConfig:
    """Return the configuration in a precision that the GPUs of all ranks compute in; all ranks have to ask."""
    import torch

    if ranks.count == 1 or config.use_cpu or not torch.cuda.is_available():
        return config
    card = RankCard(ranks.host, torch.cuda.get_device_name(), torch.cuda.get_device_capability())
    return common_precision(config, ranks.gather_objects(card), log)


def common_precision(
    config: TrainingConfig, cards: Sequence[RankCard], log: Callable[[str], None]
) -> TrainingConfig:
    """Return the configuration in fp16 where bf16 is asked for and one card has none; raises RanksError."""
    lacking = next((card for card in cards if not rules_for(card.capability).has_bf16), None)
    if lacking is None or not (config.bf16 or config.pure_bf16):
        return config
    who = f"{lacking.name} of {lacking.host} has no bfloat16"
    if config.pure_bf16 or not all(rules_for(card.capability).has_fast_fp16 for card in cards):
        # Weights in float16 throughout would overflow, and GPUs from before Volta are slow in it.
        raise RanksError(
            who, "train in float32 (leave bf16 and pure_bf16 out), or leave that host out of the run"
        )
    log(f"warning: {who}, so that all ranks train in fp16 (fp16: true says so for good)")
    return dataclasses.replace(config, bf16=False, fp16=True)
