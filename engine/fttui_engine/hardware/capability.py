"""What each GPU generation can compute in, by CUDA compute capability."""

from typing import NamedTuple

Capability = tuple[int, int]

# torch.cuda.is_bf16_supported() says True on Turing and Pascal, where bfloat16 is emulated at a fraction of the
# speed; the hardware has it from 8.0 (Ampere) on.
BF16_CAPABILITY: Capability = (8, 0)
TF32_CAPABILITY: Capability = (8, 0)
# On 6.1 (Tesla P4, P40, GTX 10xx) float16 arithmetic runs at 1/64 of the speed of float32.
SLOW_FP16_CAPABILITIES: frozenset[Capability] = frozenset({(6, 1)})
# What bitsandbytes has kernels for, by its installation manual: 8-bit products need the integer tensor cores of
# Turing; 4-bit weights are unpacked before the product, which every card does that torch still supports.
INT8_CAPABILITY: Capability = (7, 5)
FOUR_BIT_CAPABILITY: Capability = (6, 0)


class PrecisionProblem(NamedTuple):
    """Why a precision should not be used here, and what to write instead."""

    text: str
    suggestion: str
    # A precision that merely is slow here, or that only some of the GPUs lack, is the user's choice.
    is_error: bool = True


def precision_problem(key: str, gpus: int | str | list[int] | None) -> PrecisionProblem | None:
    """What is wrong with switching ``key`` on for these GPUs (as in ``run.gpus``); None for gpus means the CPU."""
    if gpus is None:
        return _problem_on_cpu(key)
    chosen = _chosen_capabilities(gpus)
    if not chosen:
        return _problem_on_cpu(key)
    lacking = [name for name, capability in chosen if not _can(key, capability)]
    if not lacking:
        return None
    shown = ", ".join(lacking)
    if key == "fp16":
        text = f"fp16 runs at 1/64 of the speed of float32 on {shown}; leave it out there."
        return PrecisionProblem(text, "fp16: false", is_error=False)
    suggestion = "fp16: true" if key in ("bf16", "pure_bf16") else f"{key}: false"
    text = f"{key} needs compute capability 8.0 (Ampere) or newer, which {shown} does not have; use {suggestion}."
    # With `auto` the run may still be given one of the others.
    return PrecisionProblem(text, suggestion, is_error=isinstance(gpus, list) or len(lacking) == len(chosen))


def quantization_problem(bits: int, gpus: int | str | list[int]) -> PrecisionProblem | None:
    """Why these GPUs (as in ``run.gpus``) cannot train on weights of 4 or 8 bits; None if they can."""
    needed = INT8_CAPABILITY if bits == 8 else FOUR_BIT_CAPABILITY
    chosen = _chosen_capabilities(gpus)
    lacking = [name for name, capability in chosen if capability < needed]
    if not lacking:
        return None
    shown, is_error = ", ".join(lacking), isinstance(gpus, list) or len(lacking) == len(chosen)
    if bits == 8:
        text = (
            f"8-bit products (LLM.int8) need compute capability 7.5 (Turing) or newer, which {shown} does not have; "
            "4-bit weights work from 6.0 on: use quantization_bit: 4."
        )
        return PrecisionProblem(text, "quantization_bit: 4", is_error)
    text = (
        f"4-bit weights need compute capability 6.0 (Pascal) or newer, which {shown} does not have; leave "
        "quantization_bit out and take a smaller model."
    )
    return PrecisionProblem(text, "quantization_bit: null", is_error)


def _can(key: str, capability: Capability) -> bool:
    match key:
        case "bf16" | "pure_bf16":
            return capability >= BF16_CAPABILITY
        case "tf32":
            return capability >= TF32_CAPABILITY
        case _:
            return capability not in SLOW_FP16_CAPABILITIES


def _problem_on_cpu(key: str) -> PrecisionProblem | None:
    match key:
        case "fp16":
            return PrecisionProblem("fp16 needs a GPU, and this run has none; use bf16: true.", "bf16: true")
        case "tf32":
            text = "tf32 has no effect, because this run has no GPU."
            return PrecisionProblem(text, "tf32: false", is_error=False)
        case _:
            # torch computes bfloat16 on every CPU, slowly on those without instructions for it.
            return None


def _chosen_capabilities(gpus: int | str | list[int]) -> list[tuple[str, Capability]]:
    from fttui_engine.hardware.gpus import read_gpus

    return [
        (f"GPU {gpu.index} ({gpu.name})", gpu.compute_capability)
        for gpu in read_gpus().gpus
        if gpu.compute_capability is not None and (not isinstance(gpus, list) or gpu.index in gpus)
    ]
