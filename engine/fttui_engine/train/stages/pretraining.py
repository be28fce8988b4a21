"""Stage pt: whole texts, every token of which is learned."""

from collections.abc import Callable
from typing import Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.dataset import Reader, Splits
from fttui_engine.train.data.documents import DocumentTokeniser, pack
from fttui_engine.train.stages.supervised import collator, equip, trainer

__all__ = ["NEEDS_CHAT_TEMPLATE", "arrange", "collator", "equip", "reader", "trainer"]

NEEDS_CHAT_TEMPLATE = False


def reader(config: TrainingConfig, tokenizer: Any) -> Reader:
    """Return what turns texts into tokens."""
    return DocumentTokeniser(tokenizer, config.cutoff_len, packing=_packs(config))


def arrange(splits: Splits, config: TrainingConfig, log: Callable[[str], None]) -> Splits:
    """Return the texts put one after the other; after the split, so that none is learned in part and evaluated in part."""
    if not _packs(config):
        return splits
    packed = splits.map(lambda documents: pack(documents, config.cutoff_len))
    log(f"data: packed into {len(packed.train)} examples of {config.cutoff_len} tokens")
    return packed


def _packs(config: TrainingConfig) -> bool:
    return config.packing is not False
