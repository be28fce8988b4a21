"""Base weights in 4 or 8 bits (QLoRA) through bitsandbytes, packed anew from the same files at every start."""

import os
from typing import Any

from fttui_engine.spec.config import TrainingConfig


def quantization_arguments(config: TrainingConfig) -> dict[str, Any]:
    """Return what ``from_pretrained`` needs to pack the weights as ``config`` says, on the device that trains.

    Weights that FSDP is going to divide are packed in host memory, since no GPU may have room for all of them, and into
    numbers of the type that is computed in: it casts all that it gathers to that type, and others would not survive it.
    """
    import torch
    import transformers

    # It has no types.
    bits_and_bytes_config: Any = transformers.BitsAndBytesConfig
    if config.quantization_bit == 8:
        packing = bits_and_bytes_config(load_in_8bit=True)
    else:
        packing = bits_and_bytes_config(
            load_in_4bit=True,
            bnb_4bit_quant_type=config.quantization_type,
            bnb_4bit_use_double_quant=config.double_quantization,
            bnb_4bit_compute_dtype=compute_dtype(config),
            bnb_4bit_quant_storage=compute_dtype(config) if config.fsdp != "no" else torch.uint8,
        )
    in_host_memory = config.fsdp != "no" or config.use_cpu or not torch.cuda.is_available()
    device = "cpu" if in_host_memory else int(os.environ.get("LOCAL_RANK", "0"))
    return {"quantization_config": packing, "device_map": {"": device}}


def compute_dtype(config: TrainingConfig) -> Any:
    """Return the precision that packed weights are unpacked to for each product."""
    import torch

    if config.bf16 or config.pure_bf16:
        return torch.bfloat16
    return torch.float16 if config.fp16 else torch.float32


def keep_packing(model: Any) -> None:
    """Have every 4-bit layer keep the form that it was loaded in, for the whole run.

    On CPUs with AVX512-BF16, bitsandbytes 0.50 repacks a layer at its first evaluation, for good, into a form without
    a gradient: the loss hardly moves, but all later gradients of the layers below are wrong (measured: half of the
    adapter's matrices, by as much as their own size); with widths that are no multiple of 64 it fails. A run that was
    resumed after the evaluation, from freshly packed weights, would not show it and so differ from a straight one.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def weight_count(weight: Any) -> int:
    """Return the number of weights in a tensor, also of a packed one."""
    state = getattr(weight, "quant_state", None)
    return int(weight.numel() if state is None else state.shape.numel())
