"""From data files to records: JSON, JSON lines, CSV, Parquet, Arrow and plain text.

All but a JSON list are read piece by piece, so that a file may be larger than the memory.
"""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fttui_engine.spec.paths import DATASET_SUFFIXES
from fttui_engine.train.errors import DataError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Most such escapes come in twos and are one character beyond the first 65,536; only then is a record looked at closely.
_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")


class Row(NamedTuple):
    """One record of a data file; ``place`` names it in messages, such as ``rows.jsonl, line 7``."""

    place: str
    values: dict[str, Any]


def read_file(path: Path) -> Iterator[Row]:
    """Yield the records of a data file, each with the words for its place."""
    suffix = path.suffix.lower()
    if suffix not in DATASET_SUFFIXES:
        raise DataError(f"{path} is no kind of data file that is read", f"use {', '.join(DATASET_SUFFIXES)}")
    reader = {".csv": _read_csv, ".parquet": _read_parquet, ".arrow": _read_arrow, ".txt": _read_lines}
    try:
        yield from reader.get(suffix, _read_json)(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}", "check the path and its rights"
        ) from error


def parse_json(text: bytes, place: str) -> Any:
    """Return what a JSON text says, or say where it is broken."""
    try:
        return json.loads(_decode(text.removeprefix(_BYTE_ORDER_MARK), place))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{place} is not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}",
            "correct the file there",
        ) from error
    except RecursionError as error:
        raise DataError(f"{place} is nested too deeply to be data", "give a list of records") from error


def _read_json(path: Path) -> Iterator[Row]:
    """Yield the records of a JSON list or of JSON lines; many ``.json`` files in the wild are JSON lines."""
    with path.open("rb") as file:
        first = _first_line(file)
        if not first:
            raise DataError(f"{path} is empty", "give a file with at least one record")
        if first.startswith(b"["):
            text = path.read_bytes()
            halves = _may_hold_halves(text)
            for number, item in enumerate(parse_json(text, str(path)), start=1):
                yield _record(item, f"{path}, record {number}", halves)
        elif path.suffix.lower() == ".json" and not first.endswith(b"}"):
            text = path.read_bytes()
            yield _record(parse_json(text, str(path)), f"{path}, record 1", _may_hold_halves(text))
        else:
            file.seek(0)
            yield from _json_lines(file, path)


def _first_line(file: BinaryIO) -> bytes:
    for line in file:
        if stripped := line.removeprefix(_BYTE_ORDER_MARK).strip():
            return stripped
    return b""


def _json_lines(file: BinaryIO, path: Path) -> Iterator[Row]:
    # The lines of a binary file end at \n only; JSON allows U+2028 and U+0085 inside a text.
    for number, line in enumerate(file, start=1):
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)  # noqa: PLW2901
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            yield _record(json.loads(_decode(line, place)), place, _may_hold_halves(line))
        except json.JSONDecodeError as error:
            raise DataError(
                f"{place}, is not valid JSON: {error.msg} at column {error.colno}",
                "put one complete record on each line",
            ) from error
        except RecursionError as error:
            raise DataError(f"{place}, is nested too deeply to be data", "correct this record") from error


def _may_hold_halves(text: bytes) -> bool:
    """Whether JSON may write half a character, which no text can hold and no tokenizer takes."""
    return _HALF_CHARACTER.search(text) is not None


def _record(item: Any, place: str, may_hold_halves: bool) -> Row:
    if not isinstance(item, dict):
        raise DataError(
            f"{place}, is not a record but {type(item).__name__}", "write {...} with named fields"
        )
    if may_hold_halves:
        try:
            json.dumps(item, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise DataError(
                f"{place}, holds half a character ({half} without its other half)",
                "correct or remove this record",
            ) from error
    return Row(place, item)


def _decode(text: bytes, place: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{place} is not UTF-8 at byte {error.start}", "convert it to UTF-8") from error


def _read_lines(path: Path) -> Iterator[Row]:
    """Yield each line of a plain text as a record with one column, ``text``."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            place = f"{path}, line {number}"
            text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
            yield Row(place, {"text": _decode(text, place).rstrip("\r\n")})


def _read_csv(path: Path) -> Iterator[Row]:
    # The csv module refuses fields above 128 KiB; a long document in one field is legal data.
    csv.field_size_limit(2**30)
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.DictReader(file, strict=True)
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
        except UnicodeDecodeError as error:
            place = f"{path} is not UTF-8 behind line {lines.reader.line_num}"
            raise DataError(place, "convert it to UTF-8") from error


def _unpack(value: str) -> Any:
    """Return the list that a CSV cell holds as JSON text, such as ``conversations``; else the cell itself."""
    if value.startswith(("[[", "[{", "[]")):
        try:
            return json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            return value
    return value


def _read_parquet(path: Path) -> Iterator[Row]:
    arrow = _pyarrow(path)
    try:
        yield from _batches(arrow.parquet.ParquetFile(path).iter_batches(), path)
    except arrow.ArrowException as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}", "write it again") from error


def _read_arrow(path: Path) -> Iterator[Row]:
    """Yield the records of an Arrow file, or of an Arrow stream, which is what the datasets library saves."""
    arrow = _pyarrow(path)
    with arrow.memory_map(str(path)) as source:
        try:
            try:
                reader = arrow.ipc.open_stream(source)
            except arrow.ArrowInvalid:
                source.seek(0)
                reader = arrow.ipc.open_file(source)
                reader = (reader.get_batch(number) for number in range(reader.num_record_batches))
            yield from _batches(reader, path)
        except arrow.ArrowException as error:
            raise DataError(f"{path} is not a readable Arrow file: {error}", "write it again") from error


def _batches(batches: Any, path: Path) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for values in batch.to_pylist():
            number += 1
            yield Row(f"{path}, row {number}", values)


def _pyarrow(path: Path) -> Any:
    try:
        # 0.2 s of CPU, spent only where the data needs it.
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.ipc  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(f"{path} needs pyarrow to be read", "pip install pyarrow") from error
    return pyarrow
