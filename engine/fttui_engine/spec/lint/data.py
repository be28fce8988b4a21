"""Checks of the data that a configuration names: there, readable, and in a format that fttui reads."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fttui_engine.spec.data_forms import misdescribed
from fttui_engine.spec.findings import nearest
from fttui_engine.spec.lint.data_head import problem_at_the_top
from fttui_engine.spec.lint.files import did_you_mean, similar_path
from fttui_engine.spec.paths import (
    DATASET_INFO,
    DATASET_SUFFIXES,
    DEMO_DATASET,
    DEMO_PREFIX,
    ONLINE,
    PREPARED_INDEX,
    is_on_hub,
    listed_datasets,
)

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

# Of a folder so many files are looked at: a check takes no longer with a thousand.
MOST_FILES = 20


def check_data(case: "Lint") -> None:
    """Every dataset is there and begins like what it claims to be."""
    if "dataset" not in case.values and "dataset" not in case.faulty:
        case.error(
            "dataset",
            f"dataset is missing: what is the model to learn? A file, a name of {DATASET_INFO}, or {DEMO_DATASET}."
            + _verb_instead(case),
            allowed="files, names, or demo:instructions",
        )
    _check_mixing(case)
    _check_streaming(case)
    if _is_prepared(case):
        return
    for key in ("dataset", "eval_dataset"):
        for entry in case.values.get(key, ()):
            _check_dataset(case, key, entry)


def _verb_instead(case: "Lint") -> str:
    """What a file is for that trains nothing: LLaMA-Factory has one form of file for all of its commands."""
    for key, verb, what in (
        ("export_dir", "export", "merges and writes a model"),
        ("do_predict", "predict", "writes answers"),
        ("adapter_name_or_path", "chat", "talks with a model"),
    ):
        if case.values.get(key):
            return f" A file that only {what} goes with `fttui {verb} FILE`."
    return ""


def _check_mixing(case: "Lint") -> None:
    names, strategy = case.values.get("dataset", ()), case.values["mix_strategy"]
    if "interleave_probs" in case.values:
        if strategy == "concat":
            case.warn(
                "interleave_probs",
                "interleave_probs has no effect with mix_strategy: concat; set an interleave_.",
            )
        elif problem := _problem_of_chances(case.values["interleave_probs"], len(names)):
            case.error("interleave_probs", problem, found=", ".join(case.values["interleave_probs"]))
    if case.values["eval_on_each_dataset"] and "eval_dataset" not in case.values:
        case.warn("eval_on_each_dataset", "eval_on_each_dataset has no effect without eval_dataset.")


def _problem_of_chances(texts: list[str], datasets: int) -> str | None:
    try:
        chances = [float(text) for text in texts]
    except ValueError:
        return "interleave_probs takes numbers, such as 0.7, 0.3."
    # Not `chance <= 0`, which is False for nan.
    if not all(0 < chance <= 1 for chance in chances):
        return "Each number in interleave_probs must be above 0 and at most 1: a dataset of chance 0 is never used up."
    if len(chances) != datasets:
        return f"interleave_probs has {len(chances)} numbers for {datasets} datasets; give one for each."
    if abs(sum(chances) - 1) > 1e-8:
        scaled = ", ".join(f"{chance / sum(chances):.9g}" for chance in chances)
        return f"interleave_probs must be 1 in all, not {sum(chances):g}; in proportion that is {scaled}."
    return None


def _check_streaming(case: "Lint") -> None:
    if not case.values["streaming"]:
        for name in case.written(("buffer_size",)):
            case.warn(name, f"{name} has no effect without streaming.")
        return
    if case.values["max_steps"] < 1:
        case.error(
            "streaming",
            "streaming reads as many records as max_steps needs, and max_steps is not set; set it, or leave streaming "
            "out: data is mapped from disk and need not fit into memory in any case.",
            found="true",
            allowed="false without max_steps",
        )
    if 0 < case.values["val_size"] < 1:
        case.error(
            "val_size",
            "With streaming, the size of the data is not known, so val_size must be a number of examples.",
            found=str(case.values["val_size"]),
            allowed="a whole number",
        )


def _is_prepared(case: "Lint") -> bool:
    """Whether the run takes its data from tokenized_path, so that the files need not be there."""
    path = case.values.get("tokenized_path")
    if path is None or not os.path.lexists(path):
        return False
    if not os.path.isfile(os.path.join(path, PREPARED_INDEX)):
        case.error(
            "tokenized_path",
            f"{path} is there but holds no data that fttui has prepared; name a folder that does not exist yet, and it "
            "is written by the first run. What LLaMA-Factory has saved there cannot be read.",
            found=path,
            allowed="a new folder, or one written by fttui",
        )
        return False
    case.warn("tokenized_path", f"The data is taken from {path}; dataset and all that is said of it rest.")
    return True


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
        elif case.values["stage"] == "pt":
            case.error(
                key,
                f"{DEMO_DATASET} holds questions and answers; stage: pt learns whole texts, so use stage: sft.",
                found=entry,
                suggestion="stage: sft",
            )
        elif (stage := case.values["stage"]) in ("rm", "dpo", "kto"):
            case.error(
                key,
                f"{DEMO_DATASET} holds single answers; stage: {stage} learns from answers that are compared or tagged, "
                "so name a file that has them, or use stage: sft.",
                found=entry,
                suggestion="stage: sft",
            )
    elif entry.startswith("/"):
        _check_path(case, key, entry)
    elif is_on_hub(case.values["dataset_dir"]):
        _say_unchecked(case, key, entry)
    else:
        _check_listed(case, key, entry)


def _check_listed(case: "Lint", key: str, entry: str) -> None:
    dataset_dir = case.values["dataset_dir"]
    info = Path(dataset_dir, DATASET_INFO)
    listed = listed_datasets(dataset_dir)
    if listed is None:
        problem = "is not a JSON object" if os.path.isfile(info) else "does not exist"
        suggestion = similar_path(entry)
        case.error(
            key,
            f"{entry!r} is no file, and {info}, where names of datasets are looked up, {problem}. "
            "Give the path of a data file, or in dataset_dir the folder of dataset_info.json "
            f"({ONLINE} for names on the hub)." + did_you_mean(suggestion),
            found=entry,
            allowed="a file, or a name of dataset_info.json",
            suggestion=suggestion,
        )
    elif entry not in listed:
        suggestion = nearest(entry, list(listed))
        case.error(
            key,
            f"{entry!r} is neither a file nor a name in {info}." + did_you_mean(suggestion),
            found=entry,
            allowed="a file, or a name of dataset_info.json",
            suggestion=suggestion,
        )
    elif not isinstance(description := listed[entry], dict):
        case.error(
            key,
            f'{entry!r} in {info} is no description, such as {{"file_name": "data.json"}}.',
            found=entry,
            allowed="an entry with file_name",
        )
    else:
        _check_description(case, key, entry, description)


def _check_description(case: "Lint", key: str, entry: str, description: dict[str, Any]) -> None:
    """One entry of ``dataset_info.json`` makes sense, suits the stage, and its files are there."""
    from fttui_engine.spec.dataset_info import entry_fault

    dataset_dir = case.values["dataset_dir"]
    info = Path(dataset_dir, DATASET_INFO)
    if fault := entry_fault(description):
        case.error(key, f"{entry!r} in {info} {fault.what}; {fault.hint}.", found=entry)
    elif misdescription := misdescribed(case.values["stage"], description):
        case.error(key, f"{entry!r} in {info} {misdescription}.", found=entry)
    elif "hf_hub_url" in description:
        _say_unchecked(case, key, str(description["hf_hub_url"]))
    else:
        is_described = description.get("columns") is not None
        _check_path(case, key, str(Path(dataset_dir, description["file_name"])), is_described=is_described)
    if case.values["streaming"] and description.get("num_samples"):
        case.warn(key, f"num_samples of {entry!r} has no effect with streaming.", found=entry)


def _say_unchecked(case: "Lint", key: str, name: str) -> None:
    case.warn(key, f"{name} is fetched from the hub when the run starts; nothing of it is checked before.")


def _check_path(case: "Lint", key: str, path: str, *, is_described: bool = False) -> None:
    """A file, or each file of a folder."""
    if not os.path.isdir(path):
        _check_data_file(case, key, path, is_described)
        return
    from fttui_engine.spec.dataset_info import data_files_in

    try:
        files = data_files_in(Path(path))
    except OSError as error:
        case.error(key, f"The folder {path} cannot be read: {error.strerror}.", found=path)
        return
    if not files:
        case.error(
            key,
            f"The folder {path} holds no data file; it may hold {', '.join(DATASET_SUFFIXES)}.",
            found=path,
            allowed="a folder with data files",
        )
    for file in files[:MOST_FILES]:
        _check_data_file(case, key, str(file), is_described)


def _check_data_file(case: "Lint", key: str, path: str, is_described: bool) -> None:
    """One file is there and can be read; its columns need no known names where ``dataset_info.json`` gives them."""
    suffix = Path(path).suffix.lower()
    if os.path.lexists(path) and not os.path.isfile(path):
        case.error(
            key,
            f"{path} is a pipe, a device or a link that leads nowhere; data is read from files.",
            found=path,
            allowed="an existing file",
        )
    elif not os.path.isfile(path):
        suggestion = similar_path(path)
        case.error(
            key,
            f"There is no file {path}; data is read from files of this machine." + did_you_mean(suggestion),
            found=path,
            allowed="an existing file",
            suggestion=suggestion,
        )
    elif suffix not in DATASET_SUFFIXES:
        case.error(
            key,
            f"{path} is not in a format that fttui reads, which are {', '.join(DATASET_SUFFIXES)}.",
            found=suffix or "no suffix",
            allowed="one of " + ", ".join(DATASET_SUFFIXES),
        )
    elif problem := problem_at_the_top(path, suffix, case.values["stage"], is_described):
        case.error(key, problem, found=path, allowed=f"a {suffix[1:].upper()} file with examples")
