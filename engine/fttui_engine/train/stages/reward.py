"""Stage rm: a reward model, which learns to score the better of two answers higher.

Held in memory beside the model: its value head, one number per hidden unit and one more.
"""

from typing import TYPE_CHECKING, Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.stages.preference import NEEDS_CHAT_TEMPLATE, arrange, collator, reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from fttui_engine.train.loop.trainer import WorkerTrainer

__all__ = ["NEEDS_CHAT_TEMPLATE", "arrange", "collator", "equip", "reader", "trainer"]


def equip(model: Any, config: TrainingConfig) -> Any:
    """Return the model with a value head, which goes on from the one that was saved with the model or its adapter."""
    from fttui_engine.train.models.value_head import add_value_head

    adapters = config.adapter_name_or_path or ()
    return add_value_head(model, adapters[-1] if adapters else config.model_name_or_path)


def trainer(config: TrainingConfig) -> "Callable[..., WorkerTrainer]":
    """Return the Trainer that compares the scores of two answers."""
    from fttui_engine.train.stages.reward_trainer import RewardTrainer

    return RewardTrainer
