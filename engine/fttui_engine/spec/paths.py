"""Which texts of a configuration are local paths, and where they point."""

import os
from pathlib import Path
from typing import Any

# Names of what fttui makes itself; they need no file.
DEMO_MODEL = "demo:tiny"
DEMO_DATASET = "demo:instructions"
DEMO_PREFIX = "demo:"

DATASET_SUFFIXES = (".json", ".jsonl", ".csv", ".parquet", ".arrow", ".txt")
DATASET_INFO = "dataset_info.json"
# Marks a folder of prepared data (tokenized_path).
PREPARED_INDEX = "prepared.json"
# What dataset_dir may be instead of a folder: names are those of the hub, or the table is in a repository there.
ONLINE = "ONLINE"
REMOTE_PREFIX = "REMOTE:"


def make_absolute(values: dict[str, Any], folder: "Path") -> None:
    """Turn every local path in ``values`` into an absolute one, seen from ``folder``.

    The run is started again days later and perhaps from another folder; it must find the same files.
    """
    for name in (
        "output_dir",
        "dataset_dir",
        "cache_dir",
        "tokenized_path",
        "logging_dir",
        "export_dir",
        "deepspeed",
        "new_special_tokens_config",
    ):
        if name in values and not (name == "dataset_dir" and is_on_hub(values[name])):
            values[name] = _absolute(values[name], folder)
    if "reward_model" in values:
        # Its value head is read from the folder; a hub has no name for that.
        values["reward_model"] = _absolute(values["reward_model"], folder)
    if "run.python" in values and "/" in values["run.python"]:
        values["run.python"] = _absolute(values["run.python"], folder)
    for name in ("model_name_or_path", "ref_model"):
        if name in values:
            values[name] = _model(values[name], folder)
    for name in ("ref_model_adapters", "reward_model_adapters", "adapter_name_or_path"):
        if name in values:
            values[name] = [_model(text, folder) for text in values[name]]
    for name in ("dataset", "eval_dataset"):
        if name in values:
            values[name] = [_dataset(entry, values["dataset_dir"], folder) for entry in values[name]]


def looks_local(text: str) -> bool:
    """Whether ``text`` can only be a path, never the name of something on a hub or in a list."""
    return text.startswith(("/", "./", "../", "~")) or text in (".", "..")


def is_on_hub(dataset_dir: str) -> bool:
    """Whether the names of data sets are looked up on the hub instead of in a folder."""
    return dataset_dir == ONLINE or dataset_dir.startswith(REMOTE_PREFIX)


def listed_datasets(dataset_dir: str) -> dict[str, Any] | None:
    """The entries of ``dataset_info.json``; None when there is no such file or it cannot be read."""
    path = Path(dataset_dir, DATASET_INFO)
    if not os.path.isfile(path):
        return None
    # A missing file is the rule, so json is imported only behind it.
    import json

    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    return entries if isinstance(entries, dict) else None


def _absolute(text: str, folder: "Path") -> str:
    # Not resolve(): a link such as `models/current` stays what the user chose. Unlike Path.expanduser, this one
    # leaves "~nobody" alone instead of failing.
    return os.path.normpath(folder / os.path.expanduser(text))


def _model(text: str, folder: "Path") -> str:
    if text.startswith(DEMO_PREFIX):
        return text
    path = _absolute(text, folder)
    # `models/lama` beside a folder `models` is a misspelled path and not a name on the hub.
    is_below_folder = "/" in text and os.path.isdir(folder / text.partition("/")[0])
    return path if looks_local(text) or is_below_folder or _exists(path) else text


def _dataset(text: str, dataset_dir: str, folder: "Path") -> str:
    if text.startswith(DEMO_PREFIX) or (dataset_dir == ONLINE and not looks_local(text)):
        return text
    if "/" not in text and text in (listed_datasets(dataset_dir) or {}):
        return text
    path = _absolute(text, folder)
    is_path = "/" in text or looks_local(text) or text.lower().endswith(DATASET_SUFFIXES)
    return path if is_path or _exists(path) else text


def _exists(path: str) -> bool:
    return os.access(path, os.F_OK)
