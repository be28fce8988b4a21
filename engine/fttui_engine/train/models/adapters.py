"""Adapters: a new one, or one from an earlier training; merging, and the variants of LoRA."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError
from fttui_engine.train.models import pissa
from fttui_engine.train.models.freezing import added_layers
from fttui_engine.train.models.load import keeps_bf16
from fttui_engine.train.models.vocabulary import make_room_for

TRAINED_ADAPTER = "default"
"""peft's name of the adapter that is trained."""


def add_adapter(model: Any, config: TrainingConfig, log: Callable[[str], None] = lambda line: None) -> Any:
    """Return the model with its weights frozen and an adapter to train; adapter weights are in float32."""
    existing = list(config.adapter_name_or_path or ())
    continued = None if config.create_new_adapter or not existing else existing.pop()
    for adapter in existing:
        model = _load_adapter(model, config, adapter, is_trainable=False).merge_and_unload()
        log(f"adapter: {adapter} is merged into the model; what is trained here belongs on top of it")
    if continued:
        model = _load_adapter(model, config, continued, is_trainable=True)
        log(f"adapter: training goes on from {continued}, with its rank and layers")
    else:
        model = _new_adapter(model, config)
    if not keeps_bf16(config):
        # peft leaves the modules of additional_target in the precision of the base.
        for weight in model.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()
    if config.pissa_init and not continued:
        pissa.begin(model)
    return model


def save_adapter(model: Any, folder: str, state_dict: dict[str, Any] | None) -> None:
    """Write the adapter to a folder that anything can load it from."""
    if pissa.is_pissa(model):
        pissa.save(model, folder, state_dict)
    else:
        # peft would otherwise ask the hub at every save whether the vocabulary has changed.
        # Another adapter beside it, such as a reward model, is not what was trained.
        model.save_pretrained(
            folder, state_dict=state_dict, save_embedding_layers=False, selected_adapters=[TRAINED_ADAPTER]
        )


def _new_adapter(model: Any, config: TrainingConfig) -> Any:
    from peft import get_peft_model

    targets = config.oft_target if config.finetuning_type == "oft" else config.lora_target
    key = "oft_target" if config.finetuning_type == "oft" else "lora_target"
    _refuse_unknown_layers(model, key, [name for name in targets if name != "all"])
    _refuse_unknown_layers(model, "additional_target", config.additional_target or ())
    if config.use_llama_pro and config.finetuning_type == "lora":
        targets = _in_added_layers(model, config)
    shared = {
        "task_type": "CAUSAL_LM",
        "target_modules": "all-linear" if list(targets) == ["all"] else list(targets),
        "modules_to_save": list(config.additional_target) if config.additional_target else None,
    }
    adapter = _oft(config, shared) if config.finetuning_type == "oft" else _lora(model, config, shared)
    try:
        return get_peft_model(model, adapter, autocast_adapter_dtype=not keeps_bf16(config))
    # RuntimeError: additional_target names a packed layer, which can have no gradient.
    except (ValueError, RuntimeError) as error:
        raise ModelError(
            f"the adapter does not fit the model: {error}", f"correct {key} or additional_target"
        ) from error


def _in_added_layers(model: Any, config: TrainingConfig) -> tuple[str, ...]:
    """Return the paths of the layers that get an adapter, of those that LLaMA Pro has added to the model."""
    from torch.nn import Linear

    places = [f".{index}." for index in added_layers(model, config)]
    wanted = [name for name in config.lora_target if name != "all"]
    return tuple(
        path
        for path, module in model.named_modules()
        if any(place in path for place in places)
        and (any(path.endswith(f".{name}") for name in wanted) if wanted else isinstance(module, Linear))
    )


def _lora(model: Any, config: TrainingConfig, shared: dict[str, Any]) -> Any:
    from peft import LoraConfig

    start: bool | str = True
    if config.pissa_init:
        start = "pissa" if config.pissa_iter == -1 else f"pissa_niter_{config.pissa_iter}"
    return LoraConfig(
        **shared,
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        use_rslora=config.use_rslora,
        use_dora=config.use_dora,
        init_lora_weights=start,  # type: ignore[arg-type]
        # Else a model with one matrix for both ends of the vocabulary would get two that drift apart.
        ensure_weight_tying=bool(config.additional_target and model.config.tie_word_embeddings),
    )


def _oft(config: TrainingConfig, shared: dict[str, Any]) -> Any:
    from peft import OFTConfig

    return OFTConfig(
        **shared,
        r=config.oft_rank,
        # One of the two follows from the other and the width of the layer.
        oft_block_size=0 if config.oft_rank else config.oft_block_size,
        module_dropout=config.module_dropout,
    )


def _load_adapter(model: Any, config: TrainingConfig, adapter: str, *, is_trainable: bool) -> Any:
    from peft import PeftModel

    place: dict[str, Any] = {"subfolder": config.adapter_folder} if config.adapter_folder else {}
    make_room_for(model, os.path.join(adapter, config.adapter_folder or ""))
    try:
        return PeftModel.from_pretrained(
            model,
            adapter,
            is_trainable=is_trainable,
            autocast_adapter_dtype=not keeps_bf16(config),
            **place,
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"the adapter {adapter} cannot be put on this model: {reason}",
            "adapter_name_or_path takes folders with adapter_config.json of adapters that were trained on this model",
        ) from error


def _refuse_unknown_layers(model: Any, key: str, names: Iterable[str]) -> None:
    """Raise ModelError for a name that no layer has; peft only minds when none of them fits."""
    modules = dict(model.named_modules())
    for name in names:
        if not any(path == name or path.endswith(f".{name}") for path in modules):
            # The matrices; norms and activations are layers too, but nobody means them.
            matrices = [path for path, module in modules.items() if _is_matrix(module)]
            layers = sorted({path.rpartition(".")[2] for path in matrices})
            raise ModelError(
                f"the adapter does not fit the model: {key} names {name!r}, which no layer is called",
                f"correct {key}; the layers are {', '.join(layers[:40])}",
            )


def _is_matrix(module: Any) -> bool:
    weight = getattr(module, "weight", None)
    return weight is not None and weight.dim() == 2
