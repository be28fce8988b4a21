"""Checks of ``deepspeed:``: the file is one, agrees with the configuration, and what is asked for can be divided so."""

from collections.abc import Iterator
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

from fttui_engine.errors import WrongRequestError
from fttui_engine.spec.deepspeed_file import read_deepspeed_file, setting, zero_stage
from fttui_engine.spec.lint.ranks import DIVISIBLE_OPTIMIZERS, Obstacle

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

# Of DeepSpeed's names, those that say what a key of ours says; "auto" takes ours.
SAME_MEANING = {
    "train_micro_batch_size_per_gpu": "per_device_train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_clipping": "max_grad_norm",
    "bf16.enabled": "bf16",
    "fp16.enabled": "fp16",
    "optimizer.params.lr": "learning_rate",
    "optimizer.params.eps": "adam_epsilon",
    "optimizer.params.weight_decay": "weight_decay",
    "scheduler.params.warmup_max_lr": "learning_rate",
}
# Other ways to divide the work, which need another order of the data.
NOT_OFFERED = ("tensor_parallel", "sequence_parallel_size", "pipeline")


def check_deepspeed(case: "Lint", count: int) -> None:
    """The file of ``deepspeed:`` can be read and fits; ``count`` is the number of processes."""
    path = case.values.get("deepspeed")
    if path is None:
        case.error(
            "run.strategy",
            "run.strategy: deepspeed needs a file that says how DeepSpeed is to divide: deepspeed: FILE.json; "
            "run.strategy: fsdp divides weights, gradients and optimizer without one.",
            found="deepspeed",
            suggestion="fsdp",
        )
        return
    try:
        content = read_deepspeed_file(path)
    except WrongRequestError as error:
        case.error("deepspeed", f"{error.message}; {error.hint}.", found=path)
        return
    if count == 1:
        case.warn(
            "deepspeed",
            "deepspeed has no effect with one process: nothing is divided, and nothing waits in host memory; run.gpus "
            "says how many GPUs train.",
        )
        return
    _check_package(case)
    _check_agreement(case, content, count)
    for obstacle in _obstacles(case.values, content):
        case.error(obstacle.key, obstacle.text, found=obstacle.found, suggestion=obstacle.suggestion)
    for section, key in (("optimizer", "optim"), ("scheduler", "lr_scheduler_type")):
        if section in content:
            case.warn(
                "deepspeed",
                f"The {section} of {path} replaces {key}; leave the section out of the file to have {key} count.",
            )


def _check_package(case: "Lint") -> None:
    if case.values.get("run.python") is None and PathFinder.find_spec("deepspeed") is None:
        case.error(
            "deepspeed",
            "deepspeed needs DeepSpeed, which is not installed: pip install deepspeed; run.strategy: fsdp divides "
            "weights, gradients and optimizer without it.",
            found=case.values["deepspeed"],
            suggestion="pip install deepspeed",
        )


def _check_agreement(case: "Lint", content: dict[str, Any], count: int) -> None:
    values = case.values
    expected = {name: (key, values[key]) for name, key in SAME_MEANING.items()}
    batch = count * values["per_device_train_batch_size"] * values["gradient_accumulation_steps"]
    expected["train_batch_size"] = (
        "processes x per_device_train_batch_size x gradient_accumulation_steps",
        batch,
    )
    expected["optimizer.params.betas"] = (
        "adam_beta1 and adam_beta2",
        [values["adam_beta1"], values["adam_beta2"]],
    )
    for name, (key, ours) in expected.items():
        theirs = setting(content, name)
        if theirs in (None, "auto") or theirs == ours:
            continue
        case.error(
            "deepspeed",
            f'{values["deepspeed"]} says {name}: {theirs}, and {key} is {ours}; write "auto" into the file to have the '
            "configuration count.",
            found=str(theirs)[:80],
            allowed=f'"auto" or {ours}',
        )


def _obstacles(values: dict[str, Any], content: dict[str, Any]) -> Iterator[Obstacle]:
    """Yield what DeepSpeed does not do here."""
    if values["run.strategy"] not in ("auto", "deepspeed") or values.get("fsdp", "no") != "no":
        key = "fsdp" if values.get("fsdp", "no") != "no" else "run.strategy"
        text = f"deepspeed and {key}: {values[key]} exclude each other; remove one of them."
        yield Obstacle(key, text, str(values[key]), "no" if key == "fsdp" else "deepspeed")
    if values["stage"] == "ppo":
        text = "DeepSpeed with stage: ppo needs a later release of fttui; run.strategy: ddp works."
        yield Obstacle("deepspeed", text, "ppo", "run.strategy: ddp")
    if "quantization_bit" in values and zero_stage(content) == 3:
        text = "ZeRO-3 cannot divide quantized weights; use zero_optimization.stage 2, or run.strategy: fsdp."
        yield Obstacle("quantization_bit", text, str(values["quantization_bit"]), "run.strategy: fsdp")
    if "optimizer" not in content and values["optim"] not in DIVISIBLE_OPTIMIZERS:
        text = (
            f"DeepSpeed flattens the weights that it divides, which optim: {values['optim']} is not made for."
        )
        yield Obstacle("optim", text, values["optim"], "adamw_torch")
    if values["pure_bf16"]:
        text = "DeepSpeed keeps a float32 copy of every trained weight; use bf16: true in place of pure_bf16."
        yield Obstacle("pure_bf16", text, "true", "bf16: true")
    for name, why in (
        ("pissa_init", "DeepSpeed's checkpoints would lack the weights that pissa_init changes"),
        (
            "do_predict",
            "A model divided by DeepSpeed writes no answers; use fttui predict after the training",
        ),
        ("load_best_model_at_end", "A model divided by DeepSpeed is not put back to its best checkpoint"),
    ):
        if values.get(name):
            yield Obstacle(name, f"{why}; leave {name} out.", "true", f"{name}: false")
    for name in NOT_OFFERED:
        if content.get(name):
            text = f"{values['deepspeed']} asks for {name}, which needs a later release of fttui; remove it from the file."
            yield Obstacle("deepspeed", text, name, "")
