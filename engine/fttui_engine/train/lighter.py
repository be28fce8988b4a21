"""After out of memory: the settings that train the same with less of it."""

import dataclasses
from typing import Any

from fttui_engine.spec.config import TrainingConfig

OUT_OF_MEMORY = ("oom_cuda", "oom_host")


def lighter_settings(config: TrainingConfig) -> dict[str, Any] | None:
    """Return the next settings to try: the same batch per step in smaller pieces, then activations computed twice.

    ``None`` where nothing is left that would not change what is learned.
    """
    size = config.per_device_train_batch_size
    if size > 1 and size % 2 == 0:
        return {
            "per_device_train_batch_size": size // 2,
            "gradient_accumulation_steps": 2 * config.gradient_accumulation_steps,
        }
    if size > 1:
        # An odd batch in pieces of one; halves of it would make another batch.
        return {
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": size * config.gradient_accumulation_steps,
        }
    return None if config.gradient_checkpointing else {"gradient_checkpointing": True}


def with_settings(config: TrainingConfig, settings: dict[str, Any] | None) -> TrainingConfig:
    """Return the configuration with what earlier attempts have found to fit."""
    return dataclasses.replace(config, **settings) if settings else config
