"""Checks of the data that a configuration names: there, readable, and in a format that fttui reads."""

import os
from codecs import getincrementaldecoder
from pathlib import Path
from typing import TYPE_CHECKING

from fttui_engine.spec.data_forms import misdescribed, misfit
from fttui_engine.spec.findings import nearest
from fttui_engine.spec.lint_files import did_you_mean, similar_path
from fttui_engine.spec.paths import DATASET_INFO, DATASET_SUFFIXES, DEMO_DATASET, DEMO_PREFIX, listed_datasets

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

# So much of a data file is looked at; the worker reads the rest and names the row.
HEAD_BYTES = 64 * 1024


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
        _check_data_file(case, key, entry)
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
            "Give the path of a data file, or in dataset_dir the folder of dataset_info.json."
            + did_you_mean(suggestion),
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
    elif not isinstance(description := listed[entry], dict) or not isinstance(
        description.get("file_name"), str
    ):
        case.error(
            key,
            f"{entry!r} in {info} has no file_name; datasets on a hub need a later release of fttui, so download it and name the file.",
            found=entry,
            allowed="an entry with file_name",
        )
    elif misdescription := misdescribed(case.values["stage"], description):
        case.error(key, f"{entry!r} in {info} {misdescription}.", found=entry)
    else:
        _check_data_file(case, key, str(Path(dataset_dir, description["file_name"])), is_described=True)


def _check_data_file(case: "Lint", key: str, path: str, *, is_described: bool = False) -> None:
    """One file is there and can be read; its columns need no known names where ``dataset_info.json`` gives them."""
    suffix = Path(path).suffix.lower()
    if os.path.isdir(path):
        case.error(key, f"{path} is a folder; name the files in it.", found=path, allowed="files")
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
    elif problem := _problem_at_the_top(path, suffix, case.values["stage"], is_described):
        case.error(key, problem, found=path, allowed=f"a {suffix[1:].upper()} file with examples")


def _problem_at_the_top(path: str, suffix: str, stage: str, is_described: bool) -> str | None:
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
    if not is_whole and b"\n" in head:
        head = head[: head.rfind(b"\n")]
    try:
        # Not the end of the file: a character that was cut in half is left out and not an error.
        text = getincrementaldecoder("utf-8-sig")().decode(head, final=is_whole)
    except UnicodeDecodeError as error:
        return f"{path}:{head.count(10, 0, error.start) + 1}: This is not UTF-8 text."
    problem, columns = _look(path, suffix, text, is_whole)
    if problem or columns is None or is_described:
        return problem
    fault = misfit(stage, columns)
    if fault is None:
        return None
    commas = " A CSV file's columns are parted by commas." if suffix == ".csv" and len(columns) == 1 else ""
    return f"{path} {fault.what}: {fault.known}.{commas}"


def _look(path: str, suffix: str, text: str, is_whole: bool) -> tuple[str | None, list[str] | None]:
    """What is wrong with a text, and the columns of its first record; None for what cannot be told."""
    if suffix == ".csv":
        import csv

        if "\n" not in text.strip():
            return f"{path} has no rows under its head line.", None
        return None, next(csv.reader(text.splitlines()))
    # As the worker does: many .json files in the wild are JSON lines.
    if suffix == ".jsonl" or text.lstrip()[0] == "{":
        return _problem_in_json_lines(path, text, is_whole), _columns(text.lstrip())
    return _problem_in_json(path, text, is_whole), _columns(text.lstrip().removeprefix("[").lstrip())


def _columns(text: str) -> list[str] | None:
    """The names in the JSON object that ``text`` begins with; None if it is cut short."""
    import json

    try:
        record, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return list(record) if isinstance(record, dict) else None


def _problem_in_json_lines(path: str, text: str, is_whole: bool) -> str | None:
    import json

    # Not splitlines(), which also breaks at U+2028 and U+0085; JSON allows both inside a text.
    lines = text.split("\n")
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
            if number == 1 and path.endswith(".json"):
                return f"{path}: A JSON dataset is a list of objects, beginning with '[', or one object per line."
            return f"{path}:{number}: This line is not JSON: {getattr(error, 'msg', 'nested too deep')}."
    return None


def _problem_in_json(path: str, text: str, is_whole: bool) -> str | None:
    import json

    if text.lstrip()[0] != "[":
        return f"{path}: A JSON dataset is a list of objects, beginning with '[', or one object per line."
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
