"""LLaMA-Factory's ``dataset_info.json``: what its entries may say, which the check and the worker must agree on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.spec.paths import DATASET_INFO, DATASET_SUFFIXES

FORMATTINGS = ("alpaca", "sharegpt", "openai")
MEDIA_COLUMNS = ("images", "videos", "audios")
COLUMNS = (
    *("prompt", "query", "response", "history", "messages", "system", "tools"),
    *("chosen", "rejected", "kto_tag", *MEDIA_COLUMNS),
)
TAGS = (
    *("role_tag", "content_tag", "user_tag", "assistant_tag"),
    *("observation_tag", "function_tag", "system_tag"),
)
# Where data may be that is not read, and what to do instead.
_ELSEWHERE = {
    "ms_hub_url": ("is on ModelScope", "download it, and name its file in file_name"),
    "om_hub_url": ("is on Modelers", "download it, and name its file in file_name"),
    "script_url": (
        "is made by a Python script, which is not run",
        "run the script yourself, and name what it wrote in file_name",
    ),
    "cloud_file_name": (
        "is in a cloud store",
        "download it (aws s3 cp, gcloud storage cp), and name its file in file_name",
    ),
}


class EntryFault(NamedTuple):
    """Why an entry cannot be used, and what to do."""

    what: str
    hint: str


def entry_fault(entry: Mapping[str, Any]) -> EntryFault | None:
    """Return what is wrong with an entry by itself, files aside; None if nothing is."""
    return _place_fault(entry) or _form_fault(entry)


def _place_fault(entry: Mapping[str, Any]) -> EntryFault | None:
    place = entry.get("hf_hub_url") or entry.get("file_name")
    if isinstance(place, str) and place:
        return None
    for key, (what, hint) in _ELSEWHERE.items():
        if key in entry:
            return EntryFault(what, hint)
    return EntryFault("has neither file_name nor hf_hub_url", "say in file_name which file it is")


def _form_fault(entry: Mapping[str, Any]) -> EntryFault | None:
    formatting = entry.get("formatting", "alpaca")
    if formatting not in FORMATTINGS:
        return EntryFault(f"has formatting {formatting!r}", f"it may be {', '.join(FORMATTINGS)}")
    for block, known in (("columns", COLUMNS), ("tags", TAGS)):
        names = entry.get(block)
        if names is None:
            continue
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            return EntryFault(
                f"has {block} that are no table of names", f'write "{block}": {{"{known[0]}": "name"}}'
            )
        if unknown := sorted(set(names) - set(known)):
            return EntryFault(
                f"has {block} of unknown names: {', '.join(unknown)}", f"they may be {', '.join(known)}"
            )
    if media := [name for name in MEDIA_COLUMNS if (entry.get("columns") or {}).get(name)]:
        return EntryFault(f"has {' and '.join(media)}", "only texts are trained on; choose another data set")
    count = entry.get("num_samples")
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        return EntryFault(f"has num_samples {count!r}", "give a whole number of at least 1")
    return None


def data_files_in(folder: Path) -> list[Path]:
    """Return the data files of a folder, by name; a text beside other data is taken for a note about it."""
    files = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in DATASET_SUFFIXES and file.name != DATASET_INFO and file.is_file()
    )
    return [file for file in files if file.suffix.lower() != ".txt"] or files
