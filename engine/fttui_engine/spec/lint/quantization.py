"""Checks of quantization: the method, the model, the package, and what the GPUs can do with packed weights."""

import json
import os
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

KEY = "quantization_bit"
INSTALL_LINE = "pip install bitsandbytes"
# Keys that say how to quantize, not whether to.
DETAILS = ("quantization_method", "quantization_type", "double_quantization")
FOUR_BIT_DETAILS = ("quantization_type", "double_quantization")


def check_quantization(case: "Lint") -> None:
    """A quantized model gets an adapter, can be quantized at all, and can be computed with here."""
    bits = case.values.get(KEY)
    if bits is None:
        for name in case.written(DETAILS):
            case.warn(name, f"{name} has no effect without quantization_bit; set 4 or 8 to quantize.")
        return
    if bits == 8:
        for name in case.written(FOUR_BIT_DETAILS):
            case.warn(name, f"{name} has no effect with quantization_bit: 8; it is about 4-bit weights.")
    method = case.values["finetuning_type"]
    if method not in ("lora", "oft"):
        case.error(
            KEY,
            f"finetuning_type: {method} changes the weights themselves, and packed {bits}-bit weights cannot be "
            "changed; use finetuning_type: lora, or leave quantization_bit out.",
            found=str(bits),
            suggestion="finetuning_type: lora",
        )
    if case.values["pure_bf16"]:
        case.warn(
            "pure_bf16",
            "On a quantized model pure_bf16 does what bf16 does: the adapter, 1 to 2 % of the weights, stays in float32.",
        )
    _check_model(case, bits)
    if case.values.get("run.python") is None and PathFinder.find_spec("bitsandbytes") is None:
        case.error(
            KEY,
            f"quantization_bit: {bits} needs bitsandbytes, which is not installed: {INSTALL_LINE}",
            found=str(bits),
            suggestion=INSTALL_LINE,
        )
    _check_gpus(case, bits)


def _check_model(case: "Lint", bits: int) -> None:
    """Weights that are packed already cannot be packed again."""
    model = case.values.get("model_name_or_path", "")
    if model.lower().endswith(".gguf") or _holds_only_gguf(model):
        case.error(
            KEY,
            f"{model} is a GGUF model, whose weights are packed in another way, and packing them again in {bits} bits "
            "would lose twice; give the model's original folder (config.json and safetensors), or leave "
            "quantization_bit out.",
            found=str(bits),
        )
    elif method := _packed_by(model):
        case.error(
            KEY,
            f"{model} is quantized already ({method}), and cannot be quantized again; give the original model, in "
            "bfloat16 or float16.",
            found=str(bits),
        )


def _holds_only_gguf(model: str) -> bool:
    try:
        names = os.listdir(model) if os.path.isdir(model) else []
    except OSError:
        return False
    return "config.json" not in names and any(name.lower().endswith(".gguf") for name in names)


def _packed_by(model: str) -> str | None:
    """The method by which a local model was quantized; None for plain weights and for what cannot be read."""
    path = Path(model, "config.json")
    if not os.path.isfile(path):
        return None
    try:
        quantization = json.loads(path.read_text(encoding="utf-8")).get("quantization_config")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return str(quantization.get("quant_method", "unknown method")) if isinstance(quantization, dict) else None


def _check_gpus(case: "Lint", bits: int) -> None:
    if case.values["use_cpu"] or case.values["run.gpus"] == "none":
        return
    if case.values["run.launcher"] == "slurm":
        return  # it is not the GPU of this host
    from fttui_engine.hardware.capability import quantization_problem

    problem = quantization_problem(bits, case.values["run.gpus"])
    if problem is not None:
        report = case.error if problem.is_error else case.warn
        report(KEY, problem.text, found=str(bits), suggestion=problem.suggestion)
