"""DeepSpeed's ZeRO in our ranks: its settings completed by ours, and its divided weights put together again."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.spec.deepspeed_file import read_deepspeed_file

if TYPE_CHECKING:
    import torch

# Left out, DeepSpeed would take values of its own: no clipping, float32, and a refusal of most optimizers.
_FROM_OUR_KEYS: dict[str, Any] = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "zero_allow_untested_optimizer": True,
}


def zero_settings(config: TrainingConfig) -> dict[str, Any] | None:
    """Return what DeepSpeed is told, ``None`` where it is not asked for."""
    if config.deepspeed is None:
        return None
    settings = {**_FROM_OUR_KEYS, **read_deepspeed_file(config.deepspeed)}
    for precision in ("bf16", "fp16"):
        settings[precision] = {"enabled": "auto", **settings.get(precision, {})}
    import torch

    if config.use_cpu or not torch.cuda.is_available():
        _without_compiler()
    return settings


def _without_compiler() -> None:
    """Have gloo carry everything: for CPUs DeepSpeed would compile a faster way, 30 s with a C++ compiler."""
    deepspeed: Any = import_module("deepspeed")
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def is_divided(weight: Any) -> bool:
    """Whether ZeRO-3 has divided this weight, of which then no rank holds the whole."""
    return hasattr(weight, "ds_id")


def gather_zero_weights(model: Any, *, trained_only: bool, keep: bool) -> "dict[str, torch.Tensor]":
    """Return the whole weights by name, in host memory; all ranks have to call, those that do not ``keep`` get none.

    One tensor at a time is put together on every rank, as in ``sharding.gather_weights``.
    """
    deepspeed: Any = import_module("deepspeed")
    weights: dict[str, torch.Tensor] = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad or not trained_only:
            with deepspeed.zero.GatheredParameters([weight]):
                if keep:
                    weights[name] = weight.detach().cpu().clone()
    if keep and not trained_only:
        kept = model.state_dict().keys()
        weights |= {name: value.cpu() for name, value in model.named_buffers() if name in kept}
    return weights
