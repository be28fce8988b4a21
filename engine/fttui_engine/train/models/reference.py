"""The reference of the stages dpo and kto: what the trained model is compared with."""

import dataclasses
from typing import Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError
from fttui_engine.train.models.load import find_model, load_model


def load_reference(config: TrainingConfig) -> Any:
    """Return a frozen model to compare with, or ``None`` where the model with its adapter switched off is the one.

    In full and freeze training it is a second copy of the model, as large as the weights in the precision that is
    computed in; nothing of it is trained, so that it takes neither gradients nor an optimizer.
    """
    if config.ref_model is None and config.finetuning_type in ("lora", "oft"):
        return None
    frozen = dataclasses.replace(
        config,
        model_name_or_path=config.ref_model or config.model_name_or_path,
        quantization_bit=config.ref_model_quantization_bit,
        # Of no effect on a model that is not trained, but the precision of its weights follows from it.
        finetuning_type="lora",
    )
    model = load_model(frozen, find_model(frozen))
    for adapter in config.ref_model_adapters or ():
        model = _merge(model, adapter)
    model.requires_grad_(False)
    return model.eval()


def _merge(model: Any, adapter: str) -> Any:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, adapter).merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"the adapter {adapter} does not fit ref_model: {reason[0]}", "correct ref_model_adapters"
        ) from error
