"""Checks of how it is trained: packing, schedule, optimizer, and what saves memory or time."""

import os
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

# The settings of each schedule beside warmup and length, as transformers has them; a unit test compares.
SCHEDULE_SETTINGS = {
    "linear": (),
    "cosine": ("num_cycles",),
    "cosine_with_restarts": ("num_cycles",),
    "polynomial": ("lr_end", "power"),
    "constant": (),
    "constant_with_warmup": (),
    "inverse_sqrt": ("timescale",),
    "cosine_with_min_lr": ("num_cycles", "min_lr", "min_lr_rate"),
    "cosine_warmup_with_min_lr": ("num_cycles", "min_lr", "min_lr_rate", "warmup_lr_rate"),
    "warmup_stable_decay": (
        "num_decay_steps", "num_stable_steps", "warmup_type", "decay_type", "min_lr_ratio", "num_cycles",
    ),
}  # fmt: skip
OPTIMIZER_SETTINGS = {
    "sgd": ("momentum", "dampening", "weight_decay", "nesterov"),
    "adagrad": ("lr_decay", "weight_decay", "eps"),
    "rmsprop": ("momentum", "alpha", "eps", "weight_decay", "centered"),
} | dict.fromkeys(
    ("ademamix", "ademamix_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit"),
    ("beta1", "beta2", "beta3", "alpha", "eps", "t_alpha", "t_beta3"),
)
COMPILERS = ("g++", "clang++")


def check_training(case: "Lint") -> None:
    """Settings of schedule and optimizer exist, and what saves memory or time can do so here."""
    _check_packing(case)
    _check_settings(case, "lr_scheduler_kwargs", "lr_scheduler_type", SCHEDULE_SETTINGS)
    _check_settings(case, "optim_args", "optim", OPTIMIZER_SETTINGS)
    _check_schedule(case)
    _check_memory_savers(case)
    _check_compilation(case)


def _check_packing(case: "Lint") -> None:
    values, stage = case.values, case.values["stage"]
    if stage == "pt" and values["neat_packing"]:
        case.warn("neat_packing", "neat_packing has no effect with stage: pt; packing does it there.")
    if stage not in ("sft", "pt"):
        for name in ("packing", "neat_packing"):
            if values.get(name):
                case.warn(name, f"{name} has no effect with stage: {stage}, whose examples are not packed.")
    elif stage == "sft" and values["neat_packing"] and values.get("packing") is False:
        case.warn(
            "packing", "packing: false has no effect, because neat_packing packs too; set that to false."
        )


def _check_settings(case: "Lint", key: str, of: str, known: "dict[str, tuple[str, ...]]") -> None:
    """The settings under ``key`` are some that the choice under ``of`` has."""
    chosen = case.values[of]
    names = known.get(chosen, ())
    for name in case.values.get(key) or {}:
        if name not in names:
            has = f"has {', '.join(names)}" if names else "has no settings"
            case.error(
                key,
                f"{key} names {name}, but {of}: {chosen} {has}.",
                found=name,
                allowed=", ".join(names) or "nothing",
            )


def _check_schedule(case: "Lint") -> None:
    schedule = case.values["lr_scheduler_type"]
    settings = case.values.get("lr_scheduler_kwargs") or {}
    key = "lr_scheduler_kwargs" if settings else "lr_scheduler_type"
    if schedule in ("cosine_with_min_lr", "cosine_warmup_with_min_lr"):
        if len({"min_lr", "min_lr_rate"} & settings.keys()) != 1:
            case.error(
                key,
                f"lr_scheduler_type: {schedule} needs either min_lr or min_lr_rate in lr_scheduler_kwargs.",
                found=str(settings or None),
                suggestion="lr_scheduler_kwargs: {min_lr_rate: 0.1}",
            )
    elif schedule == "warmup_stable_decay" and "num_decay_steps" not in settings:
        case.error(
            key,
            "lr_scheduler_type: warmup_stable_decay needs num_decay_steps in lr_scheduler_kwargs.",
            found=str(settings or None),
            suggestion="lr_scheduler_kwargs: {num_decay_steps: 100}",
        )
    lowest = settings.get("lr_end", 1e-7)
    rate = case.values["learning_rate"]
    if schedule == "polynomial" and not (isinstance(lowest, (int, float)) and lowest < rate):
        case.error(
            key,
            f"lr_scheduler_type: polynomial falls from learning_rate ({rate:g}) to lr_end ({lowest}), which has to be "
            "lower.",
            found=str(lowest),
        )


def _check_memory_savers(case: "Lint") -> None:
    values = case.values
    on_cpu = values["use_cpu"] or values["run.gpus"] == "none"
    if values["activation_offloading"]:
        if not values["gradient_checkpointing"]:
            case.error(
                "activation_offloading",
                "activation_offloading moves what gradient_checkpointing keeps; set gradient_checkpointing: true.",
                found="true",
                suggestion="gradient_checkpointing: true",
            )
        elif on_cpu:
            case.warn("activation_offloading", "activation_offloading has no effect on the CPU.")
    if values["chunked_loss"] == "true" and values["stage"] not in ("sft", "pt"):
        case.warn("chunked_loss", f"chunked_loss has no effect with stage: {values['stage']}.")
    if not values["enable_liger_kernel"]:
        return
    if on_cpu:
        case.warn(
            "enable_liger_kernel", "enable_liger_kernel has no effect on the CPU; the result is the same."
        )
    elif values.get("run.python") is None and PathFinder.find_spec("liger_kernel") is None:
        case.error(
            "enable_liger_kernel",
            "enable_liger_kernel needs Liger, which is not installed: pip install liger-kernel",
            found="true",
            suggestion="pip install liger-kernel",
        )
    if values["chunked_loss"] == "true":
        case.warn("chunked_loss", "chunked_loss has no effect beside Liger, which has a loss of that kind.")


def _check_compilation(case: "Lint") -> None:
    values = case.values
    asked = next(
        (
            name
            for name in ("torch_compile", "torch_compile_backend", "torch_compile_mode")
            if values.get(name)
        ),
        None,
    )
    if asked is None:
        return
    on_cpu = values["use_cpu"] or values["run.gpus"] == "none"
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    has_compiler = any(
        os.access(os.path.join(folder, name), os.X_OK) for folder in folders for name in COMPILERS
    )
    if on_cpu and not has_compiler and values.get("torch_compile_backend") in (None, "inductor"):
        case.error(
            asked,
            f"{asked} needs a C++ compiler on the CPU, and there is none of {', '.join(COMPILERS)} in PATH; install one "
            "(apt install g++), or leave it out.",
            found=str(values[asked]),
            suggestion="torch_compile: false",
        )
    if not on_cpu:
        from fttui_engine.hardware.capability import chosen_cards

        lacking = [card.shown for card in chosen_cards(values["run.gpus"]) if not card.rules.has_compile]
        if lacking:
            case.error(
                asked,
                f"{asked} needs compute capability 7.0 (Volta) or newer, unlike {', '.join(lacking)}; leave it out.",
                found=str(values[asked]),
                suggestion="torch_compile: false",
            )
