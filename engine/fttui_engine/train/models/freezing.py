"""Training some layers of a model and leaving the others as they are (``finetuning_type: freeze``)."""

from collections.abc import Iterable
from typing import Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError


def freeze(model: Any, config: TrainingConfig) -> None:
    """Leave only the chosen layers of ``model`` trainable; unless pure_bf16 says otherwise, these are in float32."""
    model.requires_grad_(False)
    layers = _layers(model)
    count = config.freeze_trainable_layers
    if config.use_llama_pro:
        chosen = [layers[index] for index in added_layers(model, config)]
    else:
        # As in LLaMA-Factory, more layers than there are mean all of them.
        chosen = layers[max(0, len(layers) - count) :] if count >= 0 else layers[:-count]
    for name in config.freeze_trainable_modules:
        for layer in chosen:
            _train(layer if name == "all" else _part(layer, name))
    for name in config.freeze_extra_modules or ():
        _train(_outside(model, layers, name))
    if not config.pure_bf16:
        for weight in model.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()


def added_layers(model: Any, config: TrainingConfig) -> list[int]:
    """Return the indices of the layers that LLaMA Pro has added: the last one of each of so many groups."""
    layers, count = model.config.get_text_config().num_hidden_layers, config.freeze_trainable_layers
    if layers % count:
        raise ModelError(
            f"use_llama_pro: the {layers} layers of the model are not {count} groups of one size",
            "set freeze_trainable_layers to the number of layers that were added",
        )
    return list(range(layers // count - 1, layers, layers // count))


def _layers(model: Any) -> list[Any]:
    """Return the hidden layers: the outermost list of as many modules as the configuration has layers."""
    from torch.nn import ModuleList

    count = model.config.get_text_config().num_hidden_layers
    for module in model.modules():
        if isinstance(module, ModuleList) and len(module) == count:
            return list(module)
    raise ModelError(
        f"the layers of a {model.config.model_type} model are not in a list of {count}, so none can be chosen",
        "use finetuning_type: lora or full",
    )


def _part(layer: Any, name: str) -> Any:
    """Return the part of a layer with this name, such as ``mlp`` or ``self_attn.q_proj``."""
    try:
        return layer.get_submodule(name)
    except AttributeError:
        raise _unknown(
            "freeze_trainable_modules", name, (part for part, _ in layer.named_children())
        ) from None


def _outside(model: Any, layers: list[Any], name: str) -> Any:
    """Return the module with this name that is in none of the layers."""
    inside = {id(module) for layer in layers for module in layer.modules()}
    outside = {
        path.rpartition(".")[2]: module
        for path, module in model.named_modules()
        if id(module) not in inside and any(True for _ in module.parameters(recurse=False))
    }
    if name not in outside:
        raise _unknown("freeze_extra_modules", name, outside)
    return outside[name]


def _train(module: Any) -> None:
    for weight in module.parameters():
        weight.requires_grad_(True)


def _unknown(key: str, name: str, known: Iterable[str]) -> ModelError:
    return ModelError(f"{key} names {name!r}, which the model does not have", f"it has {', '.join(known)}")
