"""A model built otherwise than its files say: random weights, stretched positions, norms in float32."""

import math
from collections.abc import Callable
from typing import Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError


def changes_structure(config: TrainingConfig) -> bool:
    """Return whether the model's own configuration is not used as it is."""
    return (
        config.train_from_scratch or config.rope_scaling is not None or config.moe_aux_loss_coef is not None
    )


def changed_structure(
    config: TrainingConfig, name_or_path: str, arguments: dict[str, Any], log: Callable[[str], None]
) -> Any:
    """Return the model's configuration with the changes that were asked for."""
    from transformers import AutoConfig

    structure = AutoConfig.from_pretrained(name_or_path, **arguments)
    text = structure.get_text_config()
    if config.rope_scaling is not None:
        _stretch_positions(text, config.rope_scaling, config.cutoff_len, log)
    if config.moe_aux_loss_coef is not None:
        if not hasattr(text, "router_aux_loss_coef"):
            raise ModelError(f"a {text.model_type} model has no experts", "leave moe_aux_loss_coef out")
        text.router_aux_loss_coef = config.moe_aux_loss_coef
        text.output_router_logits = config.moe_aux_loss_coef > 0
    return structure


def _stretch_positions(text: Any, kind: str, length: int, log: Callable[[str], None]) -> None:
    """Set the factor by which ``length`` exceeds what the model was made for, as LLaMA-Factory does."""
    parameters = dict(getattr(text, "rope_parameters", None) or {})
    if not {"rope_theta"} <= parameters.keys():
        raise ModelError(
            f"the positions of a {text.model_type} model cannot be stretched", "leave rope_scaling out"
        )
    original = parameters.get("original_max_position_embeddings") or text.max_position_embeddings
    if length <= original:
        log(
            f"model: rope_scaling is not needed: it takes {original} tokens as it is, and cutoff_len is {length}"
        )
        return
    factor = float(math.ceil(length / original))
    parameters |= {"rope_type": kind, "factor": factor}
    if kind != "linear":
        parameters["original_max_position_embeddings"] = original
    if kind == "llama3":
        parameters |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    text.rope_parameters = parameters
    text.max_position_embeddings = int(original * factor)


def random_model(name_or_path: str, dtype: Any, arguments: dict[str, Any], seed: int) -> Any:
    """Return a model of this structure with random weights, drawn by ``seed``."""
    from transformers import AutoModelForCausalLM, set_seed

    set_seed(seed)
    chosen = {key: arguments[key] for key in ("attn_implementation", "trust_remote_code") if key in arguments}
    # It has no types.
    auto_model: Any = AutoModelForCausalLM
    # In float32 first: the same weights for every precision.
    return auto_model.from_config(arguments["config"], **chosen).to(dtype)


def upcast_norms(model: Any) -> None:
    """Put the weights of the norms into float32."""
    for name, weight in model.named_parameters():
        if weight.ndim == 1 and "norm" in name:
            weight.data = weight.data.float()
