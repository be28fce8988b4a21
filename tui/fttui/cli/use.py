"""The verbs that use what was trained: predict, chat, compare, export; each becomes a process that has torch."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from fttui_engine.errors import WrongRequestError
from fttui_engine.launch.inference import Target, find_target, run_here
from fttui_engine.spec.paths import DATASET_SUFFIXES


def predict(arguments: Namespace) -> int:
    """Write answers to all questions of a data set, and measure them."""
    data = list(arguments.data)
    overrides = [*arguments.set, *_data_override(data)]
    target = find_target(arguments.target, overrides=overrides, step=arguments.checkpoint)
    for name in data:
        is_path = "/" in name or name.lower().endswith(DATASET_SUFFIXES)
        if is_path and not os.path.exists(os.path.expanduser(name)):
            raise WrongRequestError(
                f"there is no file {name}", "give a data file, or a name of dataset_info.json"
            )
    if not data and not (target.values.get("eval_dataset") or target.values.get("val_size")):
        raise WrongRequestError(
            f"{arguments.target} names no data to evaluate on", "add --data FILE, or set eval_dataset"
        )
    folder = arguments.to or str(
        Path(target.output_dir, f"predict-{Path(data[0]).stem}" if data else "predict")
    )
    options = {"data": data, "to": os.path.abspath(folder), "json": arguments.json}
    run_here("predict", target, options, cpu=arguments.cpu, gpu=arguments.gpu)


def _data_override(data: list[str]) -> list[str]:
    """``--data`` as a setting, so that it is looked for and checked as in a configuration."""
    import json

    return [f"dataset={json.dumps(data)}", "eval_dataset=null", "val_size=0"] if data else []


def chat(arguments: Namespace) -> int:
    """Talk with the model."""
    options = {"system": arguments.system}
    run_here("chat", _target(arguments), options, cpu=arguments.cpu, gpu=arguments.gpu)


def compare(arguments: Namespace) -> int:
    """Let base and trained model answer the same questions."""
    prompts = Path(arguments.prompts).expanduser()
    if not prompts.is_file():
        raise WrongRequestError(f"there is no file {prompts}", "give a text file with one question per line")
    target = _target(arguments)
    if arguments.base:
        if target.adapters:
            raise WrongRequestError(
                "--base is for a model that was trained in full",
                "an adapter is compared with the model it is for",
            )
        target = target._replace(
            weights=target.weights or target.values["model_name_or_path"],
            values={**target.values, "model_name_or_path": arguments.base},
        )
    if not target.adapters and target.weights is None:
        raise WrongRequestError(
            f"{arguments.target} is one model, and nothing to compare it with", "add --base MODEL"
        )
    options = {"prompts": os.path.abspath(prompts), "json": arguments.json}
    run_here("compare", target, options, cpu=arguments.cpu, gpu=arguments.gpu)


def export(arguments: Namespace) -> int:
    """Merge the adapter into its base and write a model of its own."""
    overrides = list(arguments.set)
    if arguments.dtype:
        overrides.append(f"infer_dtype={_DTYPES.get(arguments.dtype, arguments.dtype)}")
    target = find_target(arguments.target, overrides=overrides, step=arguments.checkpoint)
    folder = arguments.to or target.values.get("export_dir")
    if not folder:
        raise WrongRequestError("there is nowhere to export to", "add --to FOLDER, or set export_dir")
    folder = os.path.abspath(os.path.expanduser(folder))
    if os.path.exists(folder) and not (os.path.isdir(folder) and not os.listdir(folder)):
        raise WrongRequestError(f"{folder} is already there", "choose another folder, or delete that one")
    options = {"to": folder, "gguf": arguments.gguf, "json": arguments.json}
    on_cpu = target.values["export_device"] == "cpu" and arguments.gpu is None
    run_here("export", target, options, cpu=on_cpu, gpu=arguments.gpu)


_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def _target(arguments: Namespace) -> Target:
    overrides: list[Any] = arguments.set
    return find_target(arguments.target, overrides=overrides, step=arguments.checkpoint)
