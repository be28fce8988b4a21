"""Checks of several processes: how many, on which devices, and what can be divided among them."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from fttui_engine.spec.keys import BITSANDBYTES_OPTIMIZERS

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

# Their state is as large as the weights, or a counter; bitsandbytes' and Adafactor's has other shapes.
DIVISIBLE_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop")
# ppo writes its answers token by token, and for each of them a divided model would be put together once.
DIVISIBLE_STAGES = ("sft", "pt", "rm", "dpo", "kto")


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
    if case.values.get("run.rank_batches") is not None:
        _check_rank_batches(case, count)
    divides = "fsdp" in (case.values["run.strategy"], *_words(case))
    if case.values["run.strategy"] == "deepspeed" or "deepspeed" in case.values:
        from fttui_engine.spec.lint.deepspeed import check_deepspeed

        check_deepspeed(case, count)
    elif count == 1 and (divides or case.values["run.strategy"] != "auto"):
        key = "run.strategy" if case.values["run.strategy"] != "auto" else "fsdp"
        case.warn(key, f"{key} has no effect with one process; run.gpus says how many GPUs train.")
    elif divides:
        _check_dividing(case)


def _check_rank_batches(case: "Lint", count: int) -> None:
    """The batches of the processes make up the batch that the configuration asks for, and nothing else is in the way."""
    rows = case.values["run.rank_batches"]
    is_one_host = case.values["run.nodes"] == 1 and case.values["run.launcher"] == "local"
    if count == 1 and is_one_host:
        case.warn("run.rank_batches", "run.rank_batches has no effect with one process on one machine.")
        return
    if (stage := case.values["stage"]) not in ("sft", "pt"):
        text = f"run.rank_batches needs a loss that is summed over tokens (sft, pt); stage: {stage} takes equal batches."
        case.error("run.rank_batches", text, found=str(rows), suggestion="remove it")
    if "deepspeed" in case.values:
        text = "DeepSpeed takes equal batches only; remove run.rank_batches, or use run.strategy: ddp."
        case.error("run.rank_batches", text, found=str(rows), suggestion="remove it")
    if not isinstance(rows, list) or not is_one_host:
        return
    each = case.values["per_device_train_batch_size"]
    if len(rows) != count:
        text = f"run.rank_batches names {len(rows)} batches, and there are {count} processes."
        case.error("run.rank_batches", text, found=str(rows), allowed=f"{count} numbers")
    elif sum(rows) != each * count:
        text = (
            f"The batches of run.rank_batches are {sum(rows)} examples together, and per_device_train_batch_size: {each} "
            f"for {count} processes are {each * count}; with other numbers the batch would not be the one asked for."
        )
        case.error(
            "run.rank_batches", text, found=str(rows), allowed=f"numbers that are {each * count} together"
        )


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
    if case.values["run.strategy"] == "ddp":
        case.error("fsdp", "fsdp and run.strategy: ddp exclude each other; remove one of them.")
    for obstacle in obstacles_to_dividing(case.values):
        case.error(obstacle.key, obstacle.text, found=obstacle.found, suggestion=obstacle.suggestion)


class Obstacle(NamedTuple):
    """A key whose value keeps FSDP from dividing the model."""

    key: str
    text: str
    found: str
    suggestion: str


def obstacles_to_dividing(values: Mapping[str, Any]) -> Iterator[Obstacle]:
    """Yield what keeps FSDP from dividing the model of a configuration."""
    for key in ("quantization_bit", "ref_model_quantization_bit"):
        if values.get(key) == 8:
            text = "FSDP cannot divide weights in 8 bits; 4 bits can be divided, and take half the memory."
            yield Obstacle(key, text, "8", "4")
    if (optimizer := values["optim"]) not in DIVISIBLE_OPTIMIZERS:
        what = "bitsandbytes" if optimizer in BITSANDBYTES_OPTIMIZERS else "this optimizer"
        text = (
            f"FSDP cannot divide the state of {what} ({optimizer}); adamw_torch can be divided, and each GPU holds "
            "only its part."
        )
        yield Obstacle("optim", text, optimizer, "adamw_torch")
    if values["stage"] not in DIVISIBLE_STAGES:
        text = (
            f"A divided model (fsdp) cannot do stage: {values['stage']}, whose answers are written token by token: it "
            "would be put together for each of them. ddp works, where each GPU has room for the whole model."
        )
        yield Obstacle("run.strategy", text, "fsdp", "ddp")
    if values.get("do_predict"):
        text = (
            "A divided model (fsdp) does not write answers when training is done; leave do_predict out and use fttui "
            "predict after it."
        )
        yield Obstacle("do_predict", text, "true", "false")
    if values.get("load_best_model_at_end"):
        text = (
            "A divided model (fsdp) is not put back to its best checkpoint; leave load_best_model_at_end out and take "
            "the adapter or model out of that checkpoint."
        )
        yield Obstacle("load_best_model_at_end", text, "true", "false")
