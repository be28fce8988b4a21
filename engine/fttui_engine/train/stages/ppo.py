"""Stage ppo: the model answers questions, a reward model scores the answers, and what scored well becomes likelier.

Held in memory beside the model: a value head, the reward model, and in full and freeze training a frozen copy of the
model as reference; under LoRA the reference is the model with its adapter switched off.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.dataset import Reader
from fttui_engine.train.data.questions import QuestionCollator, QuestionReader
from fttui_engine.train.stages.preference import NEEDS_CHAT_TEMPLATE, arrange
from fttui_engine.train.stages.supervised import conversation_tokeniser

if TYPE_CHECKING:
    from fttui_engine.train.loop.trainer import WorkerTrainer

__all__ = ["NEEDS_CHAT_TEMPLATE", "arrange", "collator", "equip", "reader", "trainer"]


def reader(config: TrainingConfig, tokenizer: Any) -> Reader:
    """Return what turns records, with or without answers, into questions."""
    return QuestionReader(conversation_tokeniser(config, tokenizer), config.cutoff_len, config.stage)


def collator(config: TrainingConfig, tokenizer: Any) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """Return what puts questions into batches."""
    return QuestionCollator(tokenizer.pad_token_id)


def equip(model: Any, config: TrainingConfig) -> Any:
    """Return the model with a value head, which goes on from the one that was saved with the model or its adapter."""
    from fttui_engine.train.models.value_head import add_policy_head

    adapters = config.adapter_name_or_path or ()
    return add_policy_head(model, adapters[-1] if adapters else config.model_name_or_path)


def trainer(config: TrainingConfig) -> "Callable[..., WorkerTrainer]":
    """Return what makes the Trainer, which loads the reward model."""
    from fttui_engine.train.stages.ppo_trainer import PPOTrainer

    return functools.partial(PPOTrainer, config=config)
