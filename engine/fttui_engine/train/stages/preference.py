"""Stage dpo: pairs of answers, of which the better one is to become likelier than the worse one.

Held in memory beside the model: nothing under LoRA, whose reference is the model with its adapter switched off, nor with
the losses orpo and simpo; else a frozen copy of the model, or ref_model.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.dataset import Reader, Splits
from fttui_engine.train.data.preference_tokens import PairCollator, PairReader
from fttui_engine.train.stages.supervised import NEEDS_CHAT_TEMPLATE, conversation_tokeniser, equip

if TYPE_CHECKING:
    from fttui_engine.train.loop.trainer import WorkerTrainer

__all__ = ["NEEDS_CHAT_TEMPLATE", "arrange", "collator", "equip", "reader", "trainer"]


def reader(config: TrainingConfig, tokenizer: Any) -> Reader:
    """Return what turns records with a better and a worse answer into tokens."""
    return PairReader(conversation_tokeniser(config, tokenizer), config.cutoff_len, config.stage)


def arrange(splits: Splits, config: TrainingConfig, log: Callable[[str], None]) -> Splits:
    """Return the pairs as they are."""
    return splits


def collator(config: TrainingConfig, tokenizer: Any) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """Return what puts pairs into batches."""
    return PairCollator(tokenizer.pad_token_id)


def trainer(config: TrainingConfig) -> "Callable[..., WorkerTrainer]":
    """Return what makes the Trainer, which loads or copies the reference where it is a model of its own."""
    from fttui_engine.train.stages.preference_trainer import PairTrainer

    return functools.partial(PairTrainer, config=config)
