"""PiSSA: adapters that begin as the strongest directions of the weights, which are taken out of the frozen ones.

What is written is an ordinary adapter of twice the rank on the unchanged model: the difference between the trained and the
first matrices. Anything can load it, without a decomposition that another machine would not do in the same bits, and
both halves are in it exactly, so that training can go on from it.
"""

import copy
import math
from pathlib import Path
from typing import Any

import torch

_ATTRIBUTE = "fttui_pissa_start"
_ADAPTER = "default"


def begin(model: Any) -> None:
    """Remember the adapter's first matrices; called when peft has just made them."""
    setattr(model, _ATTRIBUTE, {name: weight.clone() for name, weight in _matrices(model).items()})


def is_pissa(model: Any) -> bool:
    """Return whether the model's adapter began so."""
    return hasattr(model, _ATTRIBUTE)


def save(model: Any, folder: str, state_dict: dict[str, Any] | None) -> None:
    """Write the adapter as an ordinary one on the unchanged model."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    weights = get_peft_model_state_dict(model, state_dict=state_dict, save_embedding_layers=False)
    start = getattr(model, _ATTRIBUTE)
    for name, first in start.items():
        taken_out = first.to(weights[name].device, weights[name].dtype)
        # B A - B0 A0 = [B, -B0] [A; A0]
        if _is_b(name):
            weights[name] = torch.cat([weights[name], -taken_out], 1)
        else:
            weights[name] = torch.cat([weights[name], taken_out], 0)
    config = copy.deepcopy(model.peft_config[_ADAPTER])
    config.r *= 2
    # The scale stays what it was: alpha / rank, or alpha / sqrt(rank).
    config.lora_alpha *= math.sqrt(2) if config.use_rslora else 2
    config.init_lora_weights, config.inference_mode = True, True
    Path(folder).mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    tensors = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    save_file(tensors, Path(folder, "adapter_model.safetensors"), metadata={"format": "pt"})


def load(model: Any, folder: str) -> None:
    """Put a written adapter back, with the start that it was written with."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    weights = load_file(Path(folder, "adapter_model.safetensors"), device=str(model.device))
    current, start = getattr(model, _ATTRIBUTE), {}
    for name in current:
        trained, first = weights[name].chunk(2, 1 if _is_b(name) else 0)
        weights[name], start[name] = trained.contiguous(), (-first if _is_b(name) else first).contiguous()
    _move_base(model, current, start)
    setattr(model, _ATTRIBUTE, start)
    set_peft_model_state_dict(model, weights, _ADAPTER)


def _move_base(model: Any, current: dict[str, Any], start: dict[str, Any]) -> None:
    """Take the start that was loaded out of the frozen weights, in place of another one, if it is another one."""
    for name in current:
        if _is_b(name):
            continue
        pair = name, name.replace("lora_A", "lora_B")
        if all(torch.equal(current[each].to(start[each].device), start[each]) for each in pair):
            continue
        layer = model.get_submodule(name.partition(".lora_A")[0])
        weight, scale = layer.get_base_layer().weight, layer.scaling[_ADAPTER]
        taken_out, to_take_out = (
            scale * matrices[pair[1]].to(weight.device) @ matrices[pair[0]].to(weight.device)
            for matrices in (current, start)
        )
        weight.data = (weight.data.float() + taken_out - to_take_out).to(weight.dtype)


def _matrices(model: Any) -> dict[str, torch.Tensor]:
    from peft import get_peft_model_state_dict

    weights: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: weight.detach() for name, weight in weights.items() if ".lora_" in name}


def _is_b(name: str) -> bool:
    return ".lora_B" in name
