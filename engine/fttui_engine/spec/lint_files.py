"""Checks of the files that a configuration names: model, data, output folder."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fttui_engine.spec.findings import nearest
from fttui_engine.spec.paths import (
    DATASET_INFO,
    DATASET_SUFFIXES,
    DEMO_DATASET,
    DEMO_MODEL,
    DEMO_PREFIX,
    listed_datasets,
    looks_local,
)

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

# Folders with more files than this are not searched for a similar name.
SEARCHED_FILES = 2000
# So much of a data file is looked at; the worker reads the rest and names the row.
HEAD_BYTES = 64 * 1024


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
    elif Path(model).is_dir():
        _check_model_folder(case, model)
    elif Path(model).is_file():
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
            f"There is no model at {model}." + _did_you_mean(suggestion),
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


def check_data(case: "Lint") -> None:
    """Every dataset is there and begins like what it claims to be."""
    if "dataset" not in case.values and "dataset" not in case.faulty:
        case.error(
            "dataset",
            f"dataset is missing: what is the model to learn? A file, a name of {DATASET_INFO}, or {DEMO_DATASET}.",
            allowed="files, names, or demo:instructions",
        )
    for key in ("dataset", "eval_dataset"):
        for entry in case.values.get(key, ()):
            _check_dataset(case, key, entry)


def check_output(case: "Lint") -> None:
    """The output folder can be written to and does not hold another run's checkpoints."""
    output = case.values.get("output_dir")
    if output is None:
        return
    # The nearest part of the path that exists; a dangling link counts, because it cannot be made a folder.
    folder = Path(output)
    existing = next(path for path in (folder, *folder.parents) if path.is_symlink() or path.exists())
    if not existing.is_dir():
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


def _did_you_mean(suggestion: str | None) -> str:
    return f" Did you mean {suggestion}?" if suggestion else ""


def _check_model_folder(case: "Lint", model: str) -> None:
    key = "model_name_or_path"
    try:
        names = os.listdir(model)
    except OSError as error:
        case.error(key, f"{model} cannot be read: {error.strerror}.", found=model)
        return
    if "config.json" in names or any(name.lower().endswith(".gguf") for name in names):
        return
    if "adapter_config.json" in names:
        text = f"{model} holds an adapter, not a model; give the model that it was trained on."
    else:
        text = f"{model} has no config.json, so it is not a model folder."
    case.error(key, text, found=model, allowed="a folder with config.json, or with a .gguf file")


def _is_hub_name(model: str) -> bool:
    """Whether ``model`` can be ``owner/name``, and not a path that was misspelled behind its first folder."""
    owner, _, name = model.rpartition("/")
    words = (owner, name) if owner else (name,)
    are_words = all(word.replace("-", "").replace(".", "").replace("_", "").isalnum() for word in words)
    return are_words and not looks_local(model) and not (owner and Path(owner).is_dir())


def _is_in_hub_cache(model: str, cache_dir: str | None) -> bool:
    environment = os.environ
    caches = Path(environment.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = Path(environment.get("HF_HOME") or caches / "huggingface")
    cache = Path(cache_dir or environment.get("HF_HUB_CACHE") or home / "hub")
    return Path(cache, "models--" + model.replace("/", "--"), "snapshots").is_dir()


def _check_dataset(case: "Lint", key: str, entry: str) -> None:
    if entry.startswith(DEMO_PREFIX):
        if entry != DEMO_DATASET:
            case.error(
                key,
                f"There is no dataset {entry!r}; the demo's is {DEMO_DATASET}.",
                found=entry,
                allowed=DEMO_DATASET,
                suggestion=DEMO_DATASET,
            )
    elif entry.startswith("/"):
        _check_data_file(case, key, entry)
    else:
        _check_listed(case, key, entry)


def _check_listed(case: "Lint", key: str, entry: str) -> None:
    dataset_dir = case.values["dataset_dir"]
    info = Path(dataset_dir, DATASET_INFO)
    listed = listed_datasets(dataset_dir)
    if listed is None:
        problem = "is not a JSON object" if info.is_file() else "does not exist"
        suggestion = similar_path(entry)
        case.error(
            key,
            f"{entry!r} is no file, and {info}, where names of datasets are looked up, {problem}."
            + _did_you_mean(suggestion),
            found=entry,
            allowed="a file, or a name of dataset_info.json",
            suggestion=suggestion,
        )
    elif entry not in listed:
        suggestion = nearest(entry, list(listed))
        case.error(
            key,
            f"{entry!r} is neither a file nor a name in {info}." + _did_you_mean(suggestion),
            found=entry,
            allowed="a file, or a name of dataset_info.json",
            suggestion=suggestion,
        )
    elif not isinstance(description := listed[entry], dict) or not isinstance(
        description.get("file_name"), str
    ):
        case.error(
            key,
            f"{entry!r} in {info} has no file_name; datasets on a hub need a later release of fttui, so download it and name the file.",
            found=entry,
            allowed="an entry with file_name",
        )
    elif description.get("ranking"):
        case.error(
            key,
            f"{entry!r} in {info} holds preference pairs (ranking), which stage: sft cannot learn from.",
            found=entry,
        )
    else:
        _check_data_file(case, key, str(Path(dataset_dir, description["file_name"])))


def _check_data_file(case: "Lint", key: str, path: str) -> None:
    suffix = Path(path).suffix.lower()
    if Path(path).is_dir():
        case.error(key, f"{path} is a folder; name the files in it.", found=path, allowed="files")
    elif not Path(path).is_file():
        suggestion = similar_path(path)
        case.error(
            key,
            f"There is no file {path}." + _did_you_mean(suggestion),
            found=path,
            allowed="an existing file",
            suggestion=suggestion,
        )
    elif suffix not in DATASET_SUFFIXES:
        case.error(
            key,
            f"{path} is not in a format that fttui reads.",
            found=suffix or "no suffix",
            allowed="one of " + ", ".join(DATASET_SUFFIXES),
        )
    elif problem := _problem_at_the_top(path, suffix):
        case.error(key, problem, found=path, allowed=f"a {suffix[1:].upper()} file with examples")


def _problem_at_the_top(path: str, suffix: str) -> str | None:
    """What is wrong with the beginning of a data file, in a sentence; None if nothing is."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)
            is_whole = len(head) < HEAD_BYTES
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}."
    if not head.strip():
        return f"{path} is empty."
    if suffix == ".parquet":
        return None if head.startswith(b"PAR1") else f"{path} is not a Parquet file."
    if not is_whole:
        # A character may be cut in half at the end of what was read.
        head = head[: head.rfind(b"\n")] if b"\n" in head else head[:-4]
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return f"{path}:{head.count(10, 0, error.start) + 1}: This is not UTF-8 text."
    if suffix == ".csv":
        return None if "\n" in text.strip() else f"{path} has no rows under its head line."
    if suffix == ".jsonl":
        return _problem_in_json_lines(path, text, is_whole)
    return _problem_in_json(path, text, is_whole)


def _problem_in_json_lines(path: str, text: str, is_whole: bool) -> str | None:
    import json

    lines = text.splitlines()
    if text.lstrip().startswith("["):
        return f"{path}:1: This is one JSON list, not one object per line; name the file .json."
    for number, line in enumerate(lines, 1):
        # A single line longer than what was read cannot be judged.
        if not line.strip() or (len(lines) == 1 and not is_whole):
            continue
        try:
            if not isinstance(json.loads(line), dict):
                return f"{path}:{number}: Each line must be a JSON object in braces."
        except (ValueError, RecursionError) as error:
            return f"{path}:{number}: This line is not JSON: {getattr(error, 'msg', 'nested too deep')}."
    return None


def _problem_in_json(path: str, text: str, is_whole: bool) -> str | None:
    import json

    if text.lstrip()[0] != "[":
        advice = "; one object per line belongs into a .jsonl file" if text.lstrip()[0] == "{" else ""
        return f"{path}: A JSON dataset is a list of objects, beginning with '['{advice}."
    if not is_whole:
        return None
    try:
        examples = json.loads(text)
    except RecursionError:
        return f"{path}: The JSON is nested too deep."
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        return f"{path}:{line}: This is not JSON: {getattr(error, 'msg', error)}."
    if not examples or not isinstance(examples[0], dict):
        return f"{path} holds no list of objects."
    return None
