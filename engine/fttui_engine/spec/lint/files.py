"""Checks of the model and the output folder that a configuration names.

With os.path and not pathlib: before Python 3.14, Path.is_dir() fails where a name is too long or a folder closed.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fttui_engine.spec.findings import nearest
from fttui_engine.spec.paths import DEMO_MODEL, DEMO_PREFIX, looks_local

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

# Folders with more files than this are not searched for a similar name.
SEARCHED_FILES = 2000
WEIGHT_ENDINGS = (".safetensors", ".bin", ".gguf", ".pt", ".pth")
TOKENIZER_FILES = frozenset({"tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt"})
TOKENIZER_ENDINGS = (".model", ".tiktoken", ".gguf")
# Of every file system in use.
LONGEST_FILE_NAME = 255


def check_model(case: "Lint") -> None:
    """The model is there, or at least could be on the hub."""
    key = "model_name_or_path"
    model = case.values.get(key)
    if model is None:
        if key not in case.faulty:
            case.error(
                key,
                f"{key} is missing: which model is to be trained? A folder, a hub name, or {DEMO_MODEL}.",
                allowed="a folder, a GGUF file, a hub name, or demo:tiny",
            )
    elif model.startswith(DEMO_PREFIX):
        if model != DEMO_MODEL:
            case.error(
                key,
                f"There is no model {model!r}; the demo's is {DEMO_MODEL}.",
                found=model,
                allowed=DEMO_MODEL,
                suggestion=DEMO_MODEL,
            )
    elif os.path.isdir(model):
        _check_model_folder(case, model)
    elif os.path.isfile(model):
        if not model.lower().endswith(".gguf"):
            case.error(
                key,
                f"{model} is a file, but not a GGUF file; give the model's folder.",
                found=model,
                allowed="a folder, or a .gguf file",
            )
    elif not _is_hub_name(model):
        suggestion = similar_path(model)
        case.error(
            key,
            f"There is no model at {model}." + did_you_mean(suggestion),
            found=model,
            allowed="an existing folder",
            suggestion=suggestion,
        )
    elif not _is_in_hub_cache(model, case.values.get("cache_dir")):
        case.warn(
            key,
            f"{model} is not in the local Hugging Face cache and cannot be looked up offline; the run downloads it if it can.",
            found=model,
        )


def check_output(case: "Lint") -> None:
    """The output folder can be written to and does not hold another run's checkpoints."""
    output = case.values.get("output_dir")
    if output is None:
        return
    # The nearest part of the path that exists; a dangling link counts, because it cannot be made a folder.
    folder = Path(output)
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if any(len(os.fsencode(part)) > LONGEST_FILE_NAME for part in folder.parts):
        case.error(
            "output_dir", "A folder's name has at most 255 bytes; output_dir has a longer one.", found=output
        )
    elif not os.path.isdir(existing):
        case.error(
            "output_dir",
            f"{output} cannot be a folder, because {existing} is something else.",
            found=output,
            allowed="a folder",
        )
    elif not os.access(existing, os.W_OK | os.X_OK):
        case.error(
            "output_dir",
            f"{existing} cannot be written to by this user; choose another output_dir.",
            found=output,
            allowed="a folder that can be written to",
        )
    elif existing == folder and not case.values["overwrite_output_dir"] and any(folder.glob("checkpoint-*")):
        case.error(
            "output_dir",
            f"{output} holds checkpoints of an earlier run. Resume that run, choose another folder, or set overwrite_output_dir: true.",
            found=output,
            allowed="a folder without checkpoints",
        )


def similar_path(path: str) -> str | None:
    """A path that exists beside ``path`` and is spelled much the same."""
    wanted = Path(path)
    try:
        names = os.listdir(wanted.parent)
    except OSError:
        return None
    similar = nearest(wanted.name, names) if len(names) <= SEARCHED_FILES else None
    return str(wanted.with_name(similar)) if similar else None


def did_you_mean(suggestion: str | None) -> str:
    """The question that ends a message, if there is something to suggest."""
    return f" Did you mean {suggestion}?" if suggestion else ""


def _check_model_folder(case: "Lint", model: str) -> None:
    key = "model_name_or_path"
    try:
        names = os.listdir(model)
    except OSError as error:
        case.error(key, f"{model} cannot be read: {error.strerror}.", found=model)
        return
    if "config.json" in names:
        if problem := _model_problem(model, names):
            case.error(
                key, problem, found=model, allowed="a complete model folder, as save_pretrained writes it"
            )
        return
    ggufs = sorted(name for name in names if name.lower().endswith(".gguf"))
    if len(ggufs) == 1:
        return
    if ggufs:
        text = f"{model} holds several GGUF files ({', '.join(ggufs[:5])}); name one of them."
    elif "adapter_config.json" in names:
        text = f"{model} holds an adapter, not a model; give the model that it was trained on."
    else:
        text = f"{model} has no config.json, so it is not a model folder."
    case.error(key, text, found=model, allowed="a folder with config.json, or with a .gguf file")


def _model_problem(model: str, names: list[str]) -> str | None:
    """What a model folder lacks: found now in a millisecond, by the worker only after seconds of imports."""
    import json

    try:
        with open(os.path.join(model, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        return f"{model}/config.json cannot be read: {error}."
    if not isinstance(config, dict) or not (config.get("model_type") or config.get("architectures")):
        return f"{model}/config.json does not say what model it is: it has no model_type."
    if not any(name.endswith(WEIGHT_ENDINGS) for name in names):
        return f"{model} holds no weights (no file ending in {', '.join(WEIGHT_ENDINGS)}); was it copied in full?"
    if not any(name in TOKENIZER_FILES or name.endswith(TOKENIZER_ENDINGS) for name in names):
        return f"{model} holds no tokenizer (such as tokenizer.json); copy it from the model that this one comes from."
    return None


def _is_hub_name(model: str) -> bool:
    """Whether ``model`` can be ``owner/name``, or ``name`` for the oldest models."""
    owner, _, name = model.rpartition("/")
    words = (owner, name) if owner else (name,)
    are_words = all(word.replace("-", "").replace(".", "").replace("_", "").isalnum() for word in words)
    return are_words and not looks_local(model)


def _is_in_hub_cache(model: str, cache_dir: str | None) -> bool:
    from fttui_engine.spec.memory.model_config import hub_cache

    return os.path.isdir(hub_cache(cache_dir) / ("models--" + model.replace("/", "--")) / "snapshots")
