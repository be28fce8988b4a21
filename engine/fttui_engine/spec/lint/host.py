"""Checks against this host: is there a torch to train with, and can the GPU do the chosen precision?"""

import os
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from fttui_engine.spec.keys import BITSANDBYTES_OPTIMIZERS

if TYPE_CHECKING:
    from fttui_engine.hardware.capability import HardwareProblem
    from fttui_engine.spec.lint import Lint

INSTALL_LINE = 'pip install "fttui[train]"'
PRECISION_KEYS = ("bf16", "pure_bf16", "fp16", "tf32")


def check_python(case: "Lint") -> None:
    """The Python that is going to train has what training needs; nothing is imported."""
    python = case.values.get("run.python")
    if python is not None:
        if not _is_program(python):
            case.error(
                "run.python",
                f"{python} is not a program that can be run.",
                found=python,
                allowed="the path of a Python",
            )
        return
    needed = ["torch", "transformers", "safetensors"]
    if case.values["finetuning_type"] in ("lora", "oft"):
        needed.append("peft")
    missing = [name for name in needed if PathFinder.find_spec(name) is None]
    if missing:
        names = ", ".join(missing)
        case.error(
            "run.python",
            f"This Python cannot train, because {names} is not installed: {INSTALL_LINE}",
            found=f"no {names}",
            suggestion=INSTALL_LINE,
        )
    optimizer = case.values["optim"]
    if optimizer in BITSANDBYTES_OPTIMIZERS and PathFinder.find_spec("bitsandbytes") is None:
        case.error(
            "optim",
            f"optim: {optimizer} needs bitsandbytes, which is not installed: pip install bitsandbytes",
            found=optimizer,
            suggestion="adamw_torch",
        )
    if case.values["flash_attn"] == "fa2" and PathFinder.find_spec("flash_attn") is None:
        case.error(
            "flash_attn",
            "flash_attn: fa2 needs the package flash-attn, which is not installed; sdpa needs nothing.",
            found="fa2",
            suggestion="sdpa",
        )


def check_devices(case: "Lint") -> None:
    """The GPUs that were asked for exist, torch has kernels for them, and they can do what was asked for."""
    gpus = case.values["run.gpus"]
    if gpus not in ("auto", "none") and (problem := _missing_gpus(gpus)) is not None:
        case.error("run.gpus", problem, found=str(gpus), suggestion="auto")
        return
    on_cpu = case.values["use_cpu"] or gpus == "none"
    # The hardware is asked for as late as this because loading NVML's binding takes 30 ms.
    from fttui_engine.hardware.capability import attention_problem, precision_problem

    for key in PRECISION_KEYS:
        if case.values.get(key):
            _report(case, key, "true", precision_problem(key, None if on_cpu else gpus))
    if on_cpu:
        return
    if case.values["flash_attn"] == "fa2":
        _report(case, "flash_attn", "fa2", attention_problem(gpus))
    _check_torch_build(case, gpus)


def _check_torch_build(case: "Lint", gpus: "int | str | list[int]") -> None:
    """The installed torch was built for these cards, and for a CUDA that the driver knows."""
    from fttui_engine.hardware.capability import chosen_cards
    from fttui_engine.hardware.gpus import read_driver_cuda
    from fttui_engine.hardware.torch_build import build_problem, installed_build

    cards = chosen_cards(gpus)
    build = installed_build(case.values.get("run.python")) if cards else None
    if build is not None:
        _report(case, "run.python", build.shown, build_problem(build, cards, read_driver_cuda()))


def _report(case: "Lint", key: str, found: str, problem: "HardwareProblem | None") -> None:
    if problem is not None:
        report = case.error if problem.is_error else case.warn
        report(key, problem.text, found=found, suggestion=problem.suggestion)


def _missing_gpus(gpus: int | list[int]) -> str | None:
    """Why this host does not have these GPUs, in a sentence; None if it does."""
    from fttui_engine.hardware.gpus import read_gpus

    report = read_gpus()
    if not report.gpus:
        return (
            f"run.gpus asks for GPUs. {report.error} Use gpus: auto to train on the CPU then, or gpus: none."
        )
    known = [gpu.index for gpu in report.gpus]
    if isinstance(gpus, int):
        return (
            None
            if gpus <= len(known)
            else f"run.gpus asks for {gpus} GPUs, but this machine has {len(known)}."
        )
    missing = [gpu for gpu in gpus if gpu not in known]
    if not missing:
        return None
    return f"run.gpus names GPU {missing[0]}, but this machine has {', '.join(map(str, known))}."


def _is_program(python: str) -> bool:
    if "/" in python:
        return os.path.isfile(python) and os.access(python, os.X_OK)
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return any(os.access(Path(folder, python), os.X_OK) for folder in folders)
