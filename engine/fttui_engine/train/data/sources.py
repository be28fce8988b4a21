"""From the ``dataset`` key to rows: JSON, JSON lines, CSV and Parquet files, and names in ``dataset_info.json``."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.train.demo import DEMO_INSTRUCTIONS, demo_instructions_path
from fttui_engine.train.errors import DataError

SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")


class Source(NamedTuple):
    """One data file and what is known of its form."""

    path: Path
    formatting: str | None = None
    """``alpaca``, ``sharegpt`` or ``openai``; ``None`` lets the columns decide."""
    columns: dict[str, str] | None = None
    """Our name of a column to the file's name of it, as in ``dataset_info.json``."""
    tags: dict[str, str] | None = None
    """Names of roles and fields inside the messages, as in ``dataset_info.json``."""
    max_rows: int | None = None
    ranking: bool = False
    """Each record holds a better and a worse answer, as ``dataset_info.json`` says."""


class Row(NamedTuple):
    """One record of a data file; ``place`` names it in messages, such as ``rows.jsonl, line 7``."""

    place: str
    values: dict[str, Any]


def find_sources(names: Sequence[str], dataset_dir: str | None) -> list[Source]:
    """Return the files behind the ``dataset`` key: paths, folders, the demo, or names in ``dataset_info.json``."""
    sources: list[Source] = []
    for name in names:
        if name == DEMO_INSTRUCTIONS:
            sources.append(Source(demo_instructions_path(), "alpaca"))
        elif (path := Path(name).expanduser()).exists():
            sources.extend(Source(file) for file in _files_of(path))
        elif path.is_absolute() or path.suffix in SUFFIXES:
            raise DataError(f"there is no data file {name}", "correct the path in dataset")
        else:
            sources.append(_named_source(name, Path(dataset_dir or "data").expanduser()))
    return sources


def _files_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"the folder {path} has no data file", f"it may hold {', '.join(SUFFIXES)} files")
    return files


def _named_source(name: str, dataset_dir: Path) -> Source:
    """Return the entry ``name`` of ``dataset_info.json``, LLaMA-Factory's table of data sets."""
    table_path = dataset_dir / "dataset_info.json"
    if not table_path.is_file():
        raise DataError(
            f"dataset {name!r} is neither a file nor a name in {table_path}, which does not exist",
            "give the path of a data file, or the folder of dataset_info.json in dataset_dir",
        )
    table = parse_json(read_text(table_path), str(table_path))
    entry = table.get(name) if isinstance(table, dict) else None
    if not isinstance(entry, dict):
        known = ", ".join(sorted(table)[:20]) if isinstance(table, dict) else "nothing: it is not a table"
        raise DataError(f"{table_path} has no data set {name!r}", f"it has {known}")
    if not isinstance(entry.get("file_name"), str):
        raise DataError(
            f"data set {name!r} in {table_path} has no file_name",
            "only local files are read: download the data set and name its file",
        )
    formatting = entry.get("formatting", "alpaca")
    if formatting not in ("alpaca", "sharegpt", "openai"):
        raise DataError(
            f"data set {name!r} has formatting {formatting!r}", "it may be alpaca, sharegpt or openai"
        )
    file = dataset_dir / entry["file_name"]
    if not file.is_file():
        raise DataError(f"data set {name!r}: there is no file {file}", f"correct file_name in {table_path}")
    return Source(
        file,
        formatting,
        entry.get("columns"),
        entry.get("tags"),
        entry.get("num_samples"),
        ranking=bool(entry.get("ranking")),
    )


def read_rows(source: Source) -> Iterator[Row]:
    """Yield the rows of a data file, each with the words for its place."""
    suffix = source.path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{source.path} is no kind of data file that is read", f"use {', '.join(SUFFIXES)}")
    reader = {".csv": _read_csv, ".parquet": _read_parquet}.get(suffix, _read_json)
    for number, row in enumerate(reader(source.path)):
        if source.max_rows is not None and number >= source.max_rows:
            return
        yield row


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, with or without a byte order mark."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start}", "convert it to UTF-8") from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}", "check the path and its rights"
        ) from error


def parse_json(text: str, place: str) -> Any:
    """Return what a JSON text says, or say where it is broken."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{place} is not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}",
            "correct the file there",
        ) from error
    except RecursionError as error:
        raise DataError(f"{place} is nested too deeply to be data", "give a list of records") from error


def _read_json(path: Path) -> Iterator[Row]:
    """Yield the records of a JSON list or of JSON lines; many ``.json`` files in the wild are JSON lines."""
    text = read_text(path)
    if not text.strip():
        raise DataError(f"{path} is empty", "give a file with at least one record")
    if text.lstrip().startswith("["):
        for number, item in enumerate(parse_json(text, str(path)), start=1):
            yield _record(item, f"{path}, record {number}")
    elif path.suffix.lower() == ".json" and not re.match(r"\s*\{.*\}[ \t]*(\r?\n|$)", text):
        yield _record(parse_json(text, str(path)), f"{path}, record 1")
    else:
        # Not splitlines(), which also breaks at U+2028 and U+0085; JSON allows both inside a text.
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                place = f"{path}, line {number}"
                try:
                    yield _record(json.loads(line), place)
                except json.JSONDecodeError as error:
                    raise DataError(
                        f"{place}, is not valid JSON: {error.msg} at column {error.colno}",
                        "put one complete record on each line",
                    ) from error


def _record(item: Any, place: str) -> Row:
    if not isinstance(item, dict):
        raise DataError(
            f"{place}, is not a record but {type(item).__name__}", "write {...} with named fields"
        )
    return Row(place, item)


def _read_csv(path: Path) -> Iterator[Row]:
    # The csv module refuses fields above 128 KiB; a long document in one field is legal data.
    csv.field_size_limit(2**30)
    lines = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for values in lines:
            place = f"{path}, line {lines.line_num}"
            if None in values or None in values.values():
                raise DataError(
                    f"{place}, does not have the {len(lines.fieldnames or [])} fields of the first line",
                    'put a field with a comma or a line break into "quotes"',
                )
            yield Row(place, {key: _unpack(value) for key, value in values.items()})
    except csv.Error as error:
        raise DataError(
            f"{path}, line {lines.reader.line_num}, is not valid CSV: {error}", "correct it"
        ) from error


def _unpack(value: str) -> Any:
    """Return the list that a CSV cell holds as JSON text, such as ``conversations``; else the cell itself."""
    if value.startswith(("[[", "[{", "[]")):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _read_parquet(path: Path) -> Iterator[Row]:
    try:
        # 0.2 s of CPU, spent only where the data needs it.
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(f"{path} needs pyarrow to be read", "pip install pyarrow") from error
    try:
        number = 0
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            for values in batch.to_pylist():
                number += 1
                yield Row(f"{path}, row {number}", values)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}", "write it again") from error
