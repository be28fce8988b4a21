"""Which kernels the hardware calls for, and why; each choice is one line in the log and can be overridden."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

from fttui_engine.hardware.capability import Generation, rules_for
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.packing import packs
from fttui_engine.train.errors import ModelError
from fttui_engine.train.models.load import ATTENTION


class Kernels(NamedTuple):
    """What is switched on."""

    attention: str | None = None
    """In transformers' words; None is its own choice, sdpa where the model has it."""
    tf32: bool | None = None
    """None leaves it to torch: there is no GPU."""
    liger: bool = False
    chunked_loss: bool = False
    """The model takes its loss in chunks."""


def choose_kernels(config: TrainingConfig, log: Callable[[str], None]) -> Kernels:
    """Return the kernels for the GPUs that are visible, the oldest of which decides, or for the CPU."""
    import torch

    if config.use_cpu or not torch.cuda.is_available():
        return kernels_for(config, None, log)
    capabilities = map(torch.cuda.get_device_capability, range(torch.cuda.device_count()))
    return kernels_for(config, min(capabilities), log)


def kernels_for(
    config: TrainingConfig, capability: tuple[int, int] | None, log: Callable[[str], None]
) -> Kernels:
    """Return the kernels for GPUs of a compute capability; None means the CPU."""
    attention = ATTENTION[config.flash_attn]
    if capability is None:
        if config.flash_attn == "fa2":
            raise ModelError("flash_attn: fa2 needs a GPU", "use flash_attn: auto")
        if config.enable_liger_kernel:
            log("kernels: without Liger, because it needs a GPU; the result is the same")
        return Kernels(attention)
    rules = rules_for(capability)
    if config.flash_attn == "auto":
        attention = _attention(config, rules, log)
    return Kernels(attention, _tf32(config, rules, log), _liger(config, rules, log))


def _attention(config: TrainingConfig, rules: Generation, log: Callable[[str], None]) -> str | None:
    if not packs(config):
        # torch's own kernels are FlashAttention too, wherever there is no mask.
        log(f"kernels: attention by torch (sdpa), which has fast kernels on {rules.name}")
        return None
    is_half = config.bf16 or config.fp16 or config.pure_bf16
    if rules.has_flash_attention and is_half and find_spec("flash_attn") is not None:
        log(
            "kernels: attention by FlashAttention 2, because examples are packed: it needs neither mask nor padding"
        )
        return "flash_attention_2"
    reason = (
        f"{rules.name} has no kernels of FlashAttention 2" if not rules.has_flash_attention
        else "FlashAttention 2 computes in 16 bits only" if not is_half
        else "flash-attn is not installed"
    )  # fmt: skip
    log(f"kernels: attention by torch (sdpa) with a mask between packed texts, because {reason}")
    return None


def _tf32(config: TrainingConfig, rules: Generation, log: Callable[[str], None]) -> bool:
    if config.tf32 is not None:
        return config.tf32
    if rules.has_tf32:
        log(f"kernels: float32 products in TF32, because {rules.name} has it (tf32: false for all 32 bits)")
    return rules.has_tf32


def _liger(config: TrainingConfig, rules: Generation, log: Callable[[str], None]) -> bool:
    if not config.enable_liger_kernel:
        return False
    if not rules.has_triton:
        log(f"kernels: without Liger, because Triton has no kernels for {rules.name}; the result is the same")
        return False
    if find_spec("liger_kernel") is None:
        raise ModelError("enable_liger_kernel needs Liger", "pip install liger-kernel")
    log("kernels: by Liger, with its own loss, which never holds all logits either")
    return True
