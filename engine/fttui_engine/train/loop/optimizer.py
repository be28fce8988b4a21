"""Which weights the optimizer moves how fast: the groups of LoRA+ (https://arxiv.org/abs/2402.12354)."""

from typing import Any, NamedTuple

from fttui_engine.spec.config import TrainingConfig


class LoraPlus(NamedTuple):
    """Matrices B of an adapter learn ``ratio`` times as fast as A."""

    ratio: float
    embedding_rate: float


def lora_plus(config: TrainingConfig) -> LoraPlus | None:
    """Return the rates of LoRA+, or None where all weights learn at one rate."""
    if config.loraplus_lr_ratio is None or config.finetuning_type != "lora":
        return None
    return LoraPlus(config.loraplus_lr_ratio, config.loraplus_lr_embedding)


def optimizer_with_rates(trainer: Any, model: Any, rates: LoraPlus) -> Any:
    """Return the optimizer of the arguments of ``trainer`` with the groups that LLaMA-Factory makes, in its order."""
    arguments = trainer.args
    rate, decay = arguments.learning_rate, arguments.weight_decay
    decayed = set(trainer.get_decay_parameter_names(model))
    a: list[Any] = []
    b: list[Any] = []
    b_without_decay: list[Any] = []
    embeddings: list[Any] = []
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        if "lora_embedding_B" in name:
            embeddings.append(weight)
        elif "lora_B" in name or weight.ndim == 1:
            (b if name in decayed else b_without_decay).append(weight)
        else:
            a.append(weight)
    # The rate of the first group is what the log shows.
    groups = [
        {"params": a, "lr": rate, "weight_decay": decay},
        {"params": b, "lr": rate * rates.ratio, "weight_decay": decay},
        {"params": b_without_decay, "lr": rate * rates.ratio, "weight_decay": 0.0},
        {"params": embeddings, "lr": rates.embedding_rate, "weight_decay": decay},
    ]
    optimizer_class, options = trainer.get_optimizer_cls_and_kwargs(arguments, model)
    return optimizer_class([group for group in groups if group["params"]], **options)
