"""The model as it is trained: loaded, with room for new tokens, and with an adapter or some layers frozen."""

import dataclasses
from collections.abc import Callable
from typing import Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.models.adapters import add_adapter
from fttui_engine.train.models.freezing import freeze
from fttui_engine.train.models.kernels import Kernels
from fttui_engine.train.models.load import ModelSource, load_model
from fttui_engine.train.models.vocabulary import fit_vocabulary, learns_vocabulary, vocabulary_layers


def load_trainable_model(
    config: TrainingConfig,
    source: ModelSource,
    tokenizer: Any,
    *,
    kernels: Kernels,
    log: Callable[[str], None],
) -> Any:
    """Return the model with what is trained switched on, and all else frozen."""
    from transformers import set_seed

    model = load_model(config, source, kernels.attention, log)
    fit_vocabulary(model, tokenizer, config, log)
    if learns_vocabulary(config) and config.additional_target is None:
        config = dataclasses.replace(config, additional_target=vocabulary_layers(model))
    # The adapter's first weights are drawn here.
    set_seed(config.seed)
    match config.finetuning_type:
        case "lora" | "oft":
            return add_adapter(model, config, log)
        case "freeze":
            freeze(model, config)
    return model
