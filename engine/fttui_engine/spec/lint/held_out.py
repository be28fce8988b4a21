"""Whether val_size leaves something to train on, where counting the records is cheap."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from fttui_engine.spec.paths import DEMO_DATASET, PREPARED_INDEX, is_on_hub, listed_datasets

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

# Of one file; reading them takes some 10 ms. Who has more data than this wants no check of so small a split.
MOST_BYTES = 8_000_000


def check_held_out(case: "Lint") -> None:
    """val_size is smaller than the data; of files that take long to count nothing is said."""
    values = case.values
    val_size, prepared = values["val_size"], values.get("tokenized_path", "")
    if (
        not val_size
        # It evaluates nothing, which is said elsewhere.
        or values["stage"] == "ppo"
        or values["mix_strategy"] != "concat"
        or os.path.isfile(os.path.join(prepared, PREPARED_INDEX))
    ):
        return
    count = 0
    for entry in values.get("dataset", ()):
        records = _count(_path(entry, values["dataset_dir"]))
        if records is None:
            return
        count += min(records, values.get("max_samples", records))
    held_out = int(val_size) if val_size >= 1 else math.ceil(val_size * count)
    if count and held_out >= count:
        case.error(
            "val_size",
            f"val_size: {val_size:g} would keep {held_out} of the {count} records for evaluation and leave none to train "
            "on; lower it.",
            found=f"{val_size:g}",
            allowed=f"less than {count}, or a fraction below 1",
        )


def _path(entry: str, dataset_dir: str) -> str | None:
    """The file of a data set; None where it is on a hub, is several, or is a choice of records."""
    if entry == DEMO_DATASET:
        from fttui_engine.spec.profiles import profiles_folder

        return str(profiles_folder() / "demo" / "instructions.jsonl")
    if entry.startswith("/"):
        return entry
    listed = None if is_on_hub(dataset_dir) else listed_datasets(dataset_dir)
    described = (listed or {}).get(entry)
    if not isinstance(described, dict) or "num_samples" in described:
        return None
    name = described.get("file_name")
    return os.path.join(dataset_dir, name) if isinstance(name, str) else None


def _count(path: str | None) -> int | None:
    """The number of records in a small file of JSON or JSON lines, None for any other."""
    if path is None or not path.endswith((".json", ".jsonl")):
        return None
    try:
        if os.path.getsize(path) > MOST_BYTES:
            return None
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return None
    if path.endswith(".jsonl") or not text.lstrip().startswith("["):
        # Not splitlines: a record may hold other ends of lines.
        return sum(1 for line in text.split("\n") if line.strip())
    import json

    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return len(content) if isinstance(content, list) else None
