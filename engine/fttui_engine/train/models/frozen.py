"""Models that are not trained and stand beside the one that is: the reference of dpo and kto, a reward model."""

import copy
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError
from fttui_engine.train.models.adapters import TRAINED_ADAPTER
from fttui_engine.train.models.load import find_model, load_model, weights_dtype
from fttui_engine.train.models.value_head import FILE, ValueModel, load_value_head
from fttui_engine.train.models.vocabulary import learns_vocabulary


def reference_for(model: Any, config: TrainingConfig) -> Any:
    """Return a frozen model to compare ``model`` with, or ``None`` where it is the one, with its adapter switched off.

    In full and freeze training it is a copy, as large as the weights in the precision that is computed in; nothing of it
    is trained, so that it takes neither gradients nor an optimizer.
    """
    if config.ref_model is not None:
        return load_frozen(
            config,
            config.ref_model,
            quantization_bit=config.ref_model_quantization_bit,
            adapters=config.ref_model_adapters or (),
        )
    if hasattr(model, "peft_config"):
        return None
    # Not loaded once more: words that were added to the vocabulary, and adapters merged before, are in the copy too.
    reference = copy.deepcopy(model).requires_grad_(False)
    dtype = weights_dtype(_not_trained(config))
    for weight in reference.parameters():
        weight.data = weight.data.to(dtype)
    return reference.eval()


def load_reward_model(
    config: TrainingConfig,
    name: str,
    *,
    quantization_bit: int | None = None,
    adapters: Sequence[str] = (),
) -> ValueModel:
    """Return a reward model that stage rm has trained, for its ``scores``: the folder of a model or of its adapter.

    The precision is that of the run that it is loaded into, as for the model that is trained there.
    """
    origin = name
    adapter_config = Path(name).expanduser() / "adapter_config.json"
    if adapter_config.is_file():
        name = _base_of(adapter_config)
        adapters = (origin, *adapters)
    model = load_frozen(config, name, quantization_bit=quantization_bit, adapters=adapters)
    reward_model = ValueModel(model)
    _load_head_of_reward_model(reward_model, Path(adapters[-1] if adapters else name).expanduser())
    reward_model.requires_grad_(False)
    return reward_model.eval()


class SharedRewardModel:
    """A reward model that is an adapter on the weights that are trained: it takes no memory for a model of its own."""

    _NAME = "reward"

    def __init__(self, model: Any, folder: str) -> None:
        model.load_adapter(folder, self._NAME)
        self._adapted = model
        self._valued = ValueModel(model)
        _load_head_of_reward_model(self._valued, Path(folder).expanduser())
        self._valued.v_head.requires_grad_(False).eval()

    @torch.no_grad()
    def scores(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the score of each row, as any reward model does; the trained adapter rests meanwhile."""
        self._adapted.set_adapter(self._NAME)
        try:
            return self._valued.scores(input_ids, attention_mask)
        finally:
            self._adapted.set_adapter(TRAINED_ADAPTER)


def can_share_weights(model: Any, config: TrainingConfig) -> bool:
    """Return whether the reward model of a run is an adapter on the same weights as the one that is trained."""
    adapter_config = Path(str(config.reward_model)).expanduser() / "adapter_config.json"
    if config.reward_model_type != "lora" or config.finetuning_type != "lora" or not adapter_config.is_file():
        return False
    # What was merged, or added to the vocabulary, was not there when the reward model was trained.
    merged = len(config.adapter_name_or_path or ()) - (not config.create_new_adapter)
    changed = merged > 0 or learns_vocabulary(config)
    if changed or _base_of(adapter_config) != model.name_or_path:
        return False
    return bool(json.loads(adapter_config.read_text()).get("peft_type") == "LORA")


def require_vocabulary(model: Any, tokenizer: Any, key: str) -> None:
    """Raise ModelError where a model that ``key`` names does not know all words of the trained model's tokenizer."""
    known, needed = len(model.get_input_embeddings().weight), len(tokenizer)
    if known < needed:
        raise ModelError(
            f"{key} knows {known} words, and the tokenizer of the trained model writes {needed}",
            f"give a {key} with the same vocabulary",
        )


def load_frozen(
    config: TrainingConfig, name: str, *, quantization_bit: int | None = None, adapters: Sequence[str] = ()
) -> Any:
    """Return a model with its adapters that is not trained, in the precision that the run computes in."""
    frozen = dataclasses.replace(
        _not_trained(config),
        model_name_or_path=name,
        quantization_bit=quantization_bit,
        train_from_scratch=False,
    )
    model = load_model(frozen, find_model(frozen))
    for number, adapter in enumerate(adapters, start=1):
        model = _with_adapter(model, adapter)
        if number < len(adapters):
            model = model.merge_and_unload()
    model.requires_grad_(False)
    return model.eval()


def _load_head_of_reward_model(reward_model: ValueModel, folder: Path) -> None:
    if not load_value_head(reward_model.v_head, folder):
        raise ModelError(
            f"{folder} is no reward model: it has no {FILE}",
            "train one with stage: rm, and give its output folder",
        )


def _not_trained(config: TrainingConfig) -> TrainingConfig:
    """Return a configuration by which weights are loaded in the precision that is computed in."""
    return dataclasses.replace(config, finetuning_type="lora")


def _with_adapter(model: Any, adapter: str) -> Any:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, adapter)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"the adapter {adapter} does not fit its model: {reason[0]}",
            "give the model that it was trained on",
        ) from error


def _base_of(adapter_config: Path) -> str:
    try:
        return str(json.loads(adapter_config.read_text())["base_model_name_or_path"])
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{adapter_config} does not name the adapter's model", "give the model itself"
        ) from error
