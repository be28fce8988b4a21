"""Stage kto: single answers that are good or bad, of which the good ones are to become likelier.

Held in memory beside the model: nothing under LoRA, whose reference is the model with its adapter switched off; else a
frozen copy of the model, or ref_model.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.dataset import Reader, Splits
from fttui_engine.train.data.preference_tokens import ContrastedCollator, JudgedReader, Mismatched
from fttui_engine.train.stages.supervised import NEEDS_CHAT_TEMPLATE, conversation_tokeniser, equip

if TYPE_CHECKING:
    from fttui_engine.train.loop.trainer import WorkerTrainer

__all__ = ["NEEDS_CHAT_TEMPLATE", "arrange", "collator", "equip", "reader", "trainer"]


def reader(config: TrainingConfig, tokenizer: Any) -> Reader:
    """Return what turns records with a tagged answer into tokens."""
    return JudgedReader(conversation_tokeniser(config, tokenizer), config.cutoff_len)


def arrange(splits: Splits, config: TrainingConfig, log: Callable[[str], None]) -> Splits:
    """Return the examples, each beside its prompt with another's answer; after the split, so that none crosses it."""
    good = sum(int(example.is_good[0]) for example in splits.train)
    log(f"data: {good} answers are good, {len(splits.train) - good} bad")
    if good in (0, len(splits.train)):
        log("warning: all answers have the same tag, so there is nothing to tell apart")
    return splits.map(lambda examples: Mismatched(examples, config.cutoff_len))


def collator(config: TrainingConfig, tokenizer: Any) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """Return what puts judged answers into batches."""
    return ContrastedCollator(tokenizer.pad_token_id)


def trainer(config: TrainingConfig) -> "Callable[..., WorkerTrainer]":
    """Return what makes the Trainer, which loads or copies the reference where it is a model of its own."""
    from fttui_engine.train.stages.preference_trainer import JudgedTrainer

    return functools.partial(JudgedTrainer, config=config)
