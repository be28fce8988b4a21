"""From the ``dataset`` key to data sets: paths, names in ``dataset_info.json``, names on the hub, and the demo."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.spec.dataset_info import data_files_in, entry_fault
from fttui_engine.spec.paths import DATASET_INFO, DATASET_SUFFIXES, ONLINE, REMOTE_PREFIX
from fttui_engine.train.data.files import Row, parse_json, read_file
from fttui_engine.train.data.hub import HubDataset, fetch_file, fetch_files
from fttui_engine.train.demo import DEMO_INSTRUCTIONS, demo_instructions_path
from fttui_engine.train.errors import DataError

__all__ = ["Dataset", "Row", "Source", "find_datasets", "read_rows"]


class Source(NamedTuple):
    """One data file and what is known of its form."""

    path: Path
    formatting: str | None = None
    """``alpaca``, ``sharegpt`` or ``openai``; ``None`` lets the columns decide."""
    columns: dict[str, str] | None = None
    """Our name of a column to the file's name of it, as in ``dataset_info.json``."""
    tags: dict[str, str] | None = None
    """Names of roles and fields inside the messages, as in ``dataset_info.json``."""
    ranking: bool = False
    """Each record holds a better and a worse answer, as ``dataset_info.json`` says."""


class Dataset(NamedTuple):
    """One entry of the ``dataset`` key: a file, or several that are read one after the other."""

    name: str
    sources: tuple[Source, ...]
    num_samples: int | None = None
    """How many records are drawn from it at random; ``None`` takes each once, in order."""


class _Shelf(NamedTuple):
    """Where names of data sets are looked up, and where those of the hub are kept."""

    dataset_dir: str
    cache_dir: str | None


def find_datasets(
    names: Sequence[str], dataset_dir: str = "data", cache_dir: str | None = None
) -> list[Dataset]:
    """Return the files behind the entries of ``dataset`` or ``eval_dataset``; those on the hub are fetched."""
    shelf = _Shelf(dataset_dir, cache_dir)
    return [_find(name, shelf) for name in names]


def read_rows(source: Source) -> Iterator[Row]:
    """Yield the records of a data file, each with the words for its place."""
    return read_file(source.path)


def _find(name: str, shelf: _Shelf) -> Dataset:
    if name == DEMO_INSTRUCTIONS:
        return Dataset(name, (Source(demo_instructions_path(), "alpaca"),))
    if shelf.dataset_dir == ONLINE:
        return _described(name, {"hf_hub_url": name}, ONLINE, shelf)
    path = Path(name).expanduser()
    if path.exists():
        return Dataset(path.name, tuple(Source(file) for file in _files_at(path)))
    if path.is_absolute() or path.suffix in DATASET_SUFFIXES:
        raise DataError(f"there is no data file {name}", "correct the path in dataset")
    table, place = _read_table(name, shelf)
    entry = table.get(name)
    if not isinstance(entry, dict):
        raise DataError(f"{place} has no data set {name!r}", f"it has {', '.join(sorted(table)[:20])}")
    return _described(name, entry, place, shelf)


def _read_table(name: str, shelf: _Shelf) -> tuple[dict[str, Any], str]:
    """Return LLaMA-Factory's table of data sets, and where it is."""
    if shelf.dataset_dir.startswith(REMOTE_PREFIX):
        path = fetch_file(shelf.dataset_dir.removeprefix(REMOTE_PREFIX), DATASET_INFO, shelf.cache_dir)
    else:
        path = Path(shelf.dataset_dir).expanduser() / DATASET_INFO
    if not path.is_file():
        raise DataError(
            f"dataset {name!r} is neither a file nor a name in {path}, which does not exist",
            "give the path of a data file, or the folder of dataset_info.json in dataset_dir",
        )
    table = parse_json(path.read_bytes(), str(path))
    if not isinstance(table, dict):
        raise DataError(f"{path} is not a table of data sets", 'write {"name": {"file_name": "..."}}')
    return table, str(path)


def _described(name: str, entry: Mapping[str, Any], place: str, shelf: _Shelf) -> Dataset:
    """Return the data set that an entry of ``dataset_info.json`` describes."""
    if fault := entry_fault(entry):
        raise DataError(f"data set {name!r} in {place} {fault.what}", fault.hint)
    if hub_name := entry.get("hf_hub_url"):
        wanted = HubDataset(hub_name, entry.get("subset"), entry.get("split") or "train", entry.get("folder"))
        files = fetch_files(wanted, shelf.cache_dir)
    else:
        file = Path(shelf.dataset_dir).expanduser() / entry["file_name"]
        if not file.exists():
            raise DataError(f"data set {name!r}: there is no file {file}", f"correct file_name in {place}")
        files = _files_at(file)
    # A name on the hub that no table describes: the columns decide.
    formatting = None if place == ONLINE else entry.get("formatting", "alpaca")
    columns, tags, ranking = entry.get("columns"), entry.get("tags"), bool(entry.get("ranking"))
    return Dataset(
        name,
        tuple(Source(file, formatting, columns, tags, ranking) for file in files),
        entry.get("num_samples"),
    )


def _files_at(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = data_files_in(path)
    if not files:
        raise DataError(
            f"the folder {path} has no data file", f"it may hold {', '.join(DATASET_SUFFIXES)} files"
        )
    return files
