"""Checks of several processes: how many, on which devices, and what can be divided among them."""

from typing import TYPE_CHECKING

from fttui_engine.spec.keys import BITSANDBYTES_OPTIMIZERS

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

# Their state is as large as the weights, or a counter; bitsandbytes' and Adafactor's has other shapes.
DIVISIBLE_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop")
# What has a head of its own or a second model beside it has not been divided yet.
DIVISIBLE_STAGES = ("sft", "pt")


def check_ranks(case: "Lint") -> None:
    """The processes have devices, and the strategy can do what is asked for."""
    gpus, processes = case.values["run.gpus"], case.values.get("run.processes", 1)
    gpu_count = gpus if isinstance(gpus, int) else len(gpus) if isinstance(gpus, list) else 0
    if gpu_count and case.values["use_cpu"]:
        case.error(
            "run.gpus",
            f"use_cpu is true, and run.gpus asks for {gpu_count}; several processes without GPUs are run.processes.",
            found=str(gpus),
            suggestion="none",
        )
    if processes > 1:
        _check_processes(case, gpu_count, processes)
    count = gpu_count or processes
    divides = "fsdp" in (case.values["run.strategy"], *_words(case))
    if case.values["run.strategy"] == "deepspeed":
        case.error(
            "run.strategy",
            "DeepSpeed needs a later release of fttui; fsdp divides weights, gradients and optimizer too.",
            found="deepspeed",
            suggestion="fsdp",
        )
    elif count == 1 and (divides or case.values["run.strategy"] != "auto"):
        key = "run.strategy" if case.values["run.strategy"] != "auto" else "fsdp"
        case.warn(key, f"{key} has no effect with one process; run.gpus says how many GPUs train.")
    elif divides:
        _check_dividing(case)


def _words(case: "Lint") -> tuple[str, ...]:
    return ("fsdp",) if case.values.get("fsdp", "no") != "no" else ()


def _check_processes(case: "Lint", gpu_count: int, processes: int) -> None:
    if gpu_count:
        if gpu_count != processes:
            case.error(
                "run.processes",
                f"There is one process per GPU: run.gpus names {gpu_count}, so run.processes cannot be {processes}.",
                found=str(processes),
                allowed=str(gpu_count),
            )
        return
    if case.values["use_cpu"] or case.values["run.gpus"] == "none":
        return
    from fttui_engine.hardware.gpus import read_gpus

    if read_gpus().gpus:
        case.error(
            "run.processes",
            f"run.processes is for training without a GPU, and this machine has one; write run.gpus: {processes} for "
            "that many GPUs, or run.gpus: none.",
            found=str(processes),
        )


def _check_dividing(case: "Lint") -> None:
    values = case.values
    if values["run.strategy"] == "ddp":
        case.error("fsdp", "fsdp and run.strategy: ddp exclude each other; remove one of them.")
    if values.get("quantization_bit") == 8:
        case.error(
            "quantization_bit",
            "FSDP cannot divide weights in 8 bits; 4 bits can be divided, and take half the memory.",
            found="8",
            suggestion="4",
        )
    if values["optim"] not in DIVISIBLE_OPTIMIZERS:
        what = "bitsandbytes" if values["optim"] in BITSANDBYTES_OPTIMIZERS else "this optimizer"
        case.error(
            "optim",
            f"FSDP cannot divide the state of {what} ({values['optim']}); adamw_torch can be divided, and each GPU "
            "holds only its part.",
            found=values["optim"],
            suggestion="adamw_torch",
        )
    if values["stage"] not in DIVISIBLE_STAGES:
        case.error(
            "run.strategy",
            f"Dividing the model (fsdp) with stage: {values['stage']} needs a later release of fttui; ddp works, where "
            "each GPU has room for the whole model.",
            found="fsdp",
            suggestion="ddp",
        )
    if values.get("load_best_model_at_end"):
        case.error(
            "load_best_model_at_end",
            "A divided model (fsdp) is not put back to its best checkpoint; leave load_best_model_at_end out and take "
            "the adapter or model out of that checkpoint.",
            found="true",
            suggestion="false",
        )
