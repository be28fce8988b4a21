"""Data sets on the Hugging Face hub: which of a repository's files are meant, and their download."""

import re
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, NoReturn

from fttui_engine.spec.paths import DATASET_SUFFIXES
from fttui_engine.train.errors import DataError

# How files of each split are named on the hub, in whole words of their path: data/train-00000-of-00002.parquet.
_SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}


class HubDataset(NamedTuple):
    """A data set on the hub, in the words of ``dataset_info.json``."""

    name: str
    subset: str | None = None
    split: str = "train"
    folder: str | None = None


def fetch_files(wanted: HubDataset, cache_dir: str | None) -> list[Path]:
    """Return the data files of a data set on the hub, downloaded, or without a network from the cache of downloads."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        names = list(HfApi().list_repo_files(wanted.name, repo_type="dataset"))
        files = choose_files(names, wanted, _card_of(wanted.name, names, cache_dir))
        folder = Path(
            snapshot_download(
                wanted.name,
                repo_type="dataset",
                allow_patterns=[_literal(file) for file in files],
                cache_dir=cache_dir,
            )
        )
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - the errors of its network library change with each release
        folder = _downloaded_before(wanted.name, cache_dir, error)
        names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        files = choose_files(names, wanted, _card_of(wanted.name, names, cache_dir))
    return [folder / file for file in files]


def fetch_file(repository: str, name: str, cache_dir: str | None) -> Path:
    """Return one file of a data set repository on the hub, downloaded or from the cache."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, name, repo_type="dataset", cache_dir=cache_dir))
    except Exception as error:  # noqa: BLE001 - as above
        _not_fetched(repository, error)


def _downloaded_before(repository: str, cache_dir: str | None, error: Exception) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # No patterns would ask for every file of the repository, and only one split of it was downloaded.
        found = snapshot_download(
            repository, repo_type="dataset", cache_dir=cache_dir, local_files_only=True, allow_patterns=[]
        )
        return Path(found)
    except (LocalEntryNotFoundError, OSError, ValueError):
        _not_fetched(repository, error)


def choose_files(names: list[str], wanted: HubDataset, card: dict[str, Any]) -> list[str]:
    """Return the files of a repository that make up a subset and split.

    The repository's card decides where it lists files; else the folder of the subset, and the names of the splits.
    """
    if not re.fullmatch(r"\w+", wanted.split):
        raise DataError(
            f"{wanted.name}: split {wanted.split!r} is not the name of a split",
            "name one split, such as train; max_samples or num_samples take a part of it",
        )
    listed = _listed_patterns(card, wanted)
    data = sorted(name for name in names if name.lower().endswith(DATASET_SUFFIXES))
    if wanted.folder:
        data = [name for name in data if PurePosixPath(name).is_relative_to(wanted.folder.strip("/"))]
    if listed:
        chosen = [name for name in data if any(fnmatch(name, pattern) for pattern in listed)]
    else:
        if wanted.subset:
            data = [name for name in data if wanted.subset in PurePosixPath(name).parts]
        chosen = _of_split(data, wanted.split)
    if not chosen:
        subset = f" of subset {wanted.subset!r}" if wanted.subset else ""
        raise DataError(
            f"{wanted.name} on the hub has no {', '.join(DATASET_SUFFIXES)} file for split {wanted.split!r}{subset}; "
            f"its files are {', '.join(sorted(names)[:10])}",
            "correct subset, split and folder in dataset_info.json, or download the data and name its file",
        )
    suffixes = {PurePosixPath(name).suffix.lower() for name in chosen}
    if len(suffixes) > 1:
        # The same records in several formats, as some repositories hold them, must not be learned twice.
        raise DataError(
            f"{wanted.name} on the hub has files of several kinds for split {wanted.split!r}: {', '.join(chosen[:6])}",
            "name the folder of one kind in dataset_info.json (folder)",
        )
    _require_all(chosen, wanted)
    return chosen


def _require_all(chosen: list[str], wanted: HubDataset) -> None:
    """An interrupted download must not pass for the whole of it: names of shards say how many there are."""
    for name in chosen:
        if (total := re.search(r"-of-(\d{5})\b", name)) and len(chosen) < int(total[1]):
            raise DataError(
                f"{wanted.name}: only {len(chosen)} of {int(total[1])} files of split {wanted.split!r} are there",
                "connect to the network, so that the rest can be fetched",
            )


def _listed_patterns(card: dict[str, Any], wanted: HubDataset) -> list[str]:
    """Return the paths that the card gives for a subset and split."""
    configs = [config for config in card.get("configs") or () if isinstance(config, dict)]
    chosen = next((config for config in configs if config.get("config_name") == wanted.subset), None)
    if wanted.subset is None and configs:
        chosen = next((config for config in configs if config.get("default")), None) or (
            next((config for config in configs if config.get("config_name") == "default"), configs[0])
        )
    files = chosen.get("data_files") if chosen else None
    if isinstance(files, str):
        return [files] if wanted.split == "train" else []
    entries = [
        entry for entry in files or () if isinstance(entry, dict) and entry.get("split") == wanted.split
    ]
    paths = [entry.get("path") for entry in entries]
    return [pattern for path in paths for pattern in (path if isinstance(path, list) else [path]) if pattern]


def _of_split(names: list[str], split: str) -> list[str]:
    """Return the files whose path has a word for the split; all of them for ``train`` where no path names a split."""
    words = {name: set(re.split(r"[^a-z]+", name.lower())) for name in names}
    spoken = set().union(*_SPLIT_WORDS.values())
    if split == "train" and not any(found & spoken for found in words.values()):
        return names
    return [name for name in names if words[name] & set(_SPLIT_WORDS.get(split, (split.lower(),)))]


def _card_of(repository: str, names: list[str], cache_dir: str | None) -> dict[str, Any]:
    """Return the metadata at the head of a repository's README."""
    if "README.md" not in names:
        return {}
    import yaml

    text = fetch_file(repository, "README.md", cache_dir).read_text(encoding="utf-8", errors="replace")
    head = re.match(r"---\r?\n(.*?)\n---", text, re.DOTALL)
    try:
        card = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        # Written by anybody; the names of the files say enough.
        card = None
    return card if isinstance(card, dict) else {}


def _literal(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _not_fetched(repository: str, error: Exception) -> NoReturn:
    line = (str(error).strip().splitlines() or [""])[0][:200]
    raise DataError(
        f"the data set {repository} cannot be fetched from the hub: {type(error).__name__}: {line}",
        "check its name and the network, log in with `hf auth login` where it is private, or download it and name "
        "its file in dataset",
    ) from error
