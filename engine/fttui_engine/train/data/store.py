"""Tokenised data on disk: one file of 32-bit integers per field of an example, mapped into memory when it is read.

An example is any NamedTuple of flat arrays of int32, defined in this engine. Mapped pages are shared by all processes
of a run, and the system takes them back when memory is short: data may be larger than the memory.
"""

import importlib
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy
from numpy.typing import NDArray

from fttui_engine.train.data.tokenise import Tokenised

Indices = NDArray[numpy.int64]

ENTRY = "entry.json"
"""Written last: a folder without it is no store."""
_ROWS = "rows"


class DamagedStoreError(Exception):
    """What is on disk is not what was written."""


class StoreWriter:
    """Appends what became of records, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self._checksums: dict[str, int] = {}
        self._ends: dict[str, list[int]] = {}
        self._rows: list[int] = []
        self._examples = 0
        self._type = ""

    def append(self, result: Tokenised) -> None:
        """Add one record; one without an example keeps its place."""
        self._rows.append(-1 if result.example is None else self._examples)
        if result.example is None:
            return
        self._examples += 1
        if not self._type:
            self._type = f"{type(result.example).__module__}:{type(result.example).__qualname__}"
        for name, values in zip(result.example._fields, result.example, strict=True):
            if values.dtype != numpy.int32 or values.ndim != 1:
                raise TypeError(f"{self._type}.{name} is {values.dtype} in {values.ndim} dimensions")
            ends = self._ends.setdefault(name, [0])
            ends.append(ends[-1] + len(values))
            self._write(name, values.tobytes())

    def close(self, about: dict[str, Any]) -> None:
        """Write the tables and, last, what the store is about."""
        for name, ends in self._ends.items():
            self._write(f"{name}.ends", numpy.array(ends, dtype=numpy.int64).tobytes())
        self._write(_ROWS, numpy.array(self._rows, dtype=numpy.int64).tobytes())
        files = {name: [file.tell(), self._checksums[name]] for name, file in self._files.items()}
        self.abandon()
        entry = {"type": self._type, "fields": list(self._ends), "files": files, "about": about}
        (self._folder / ENTRY).write_text(json.dumps(entry, indent=1))

    def abandon(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def _write(self, name: str, content: bytes) -> None:
        if name not in self._files:
            self._files[name] = (self._folder / name).open("wb", buffering=2**20)
            self._checksums[name] = 0
        self._files[name].write(content)
        self._checksums[name] = zlib.crc32(content, self._checksums[name])


class Store:
    """The tokenised records of one data set."""

    def __init__(self, folder: Path) -> None:
        """Map a store, after every byte of it has been read and compared (0.1 s for 100 MB)."""
        self._folder = folder
        try:
            entry = json.loads((folder / ENTRY).read_text())
            for name, (size, checksum) in entry["files"].items():
                _verify(folder / name, size, checksum)
            self.about: dict[str, Any] = entry["about"]
            fields: list[str] = entry["fields"]
            module, _, name = entry["type"].partition(":")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedStoreError(f"{type(error).__name__}: {error}") from error
        self.rows: Indices = _map(folder / _ROWS, numpy.int64)
        """For each record its example, or -1 where it was dropped."""
        self._make: Any = tuple
        if module.startswith("fttui_engine."):
            self._make = getattr(importlib.import_module(module), name)
        self._fields = [
            (_map(folder / field, numpy.int32), _map(folder / f"{field}.ends", numpy.int64))
            for field in fields
        ]

    def __len__(self) -> int:
        return len(self._fields[0][1]) - 1 if self._fields else 0

    def __getitem__(self, number: int) -> Any:
        return self._make(*(values[ends[number] : ends[number + 1]] for values, ends in self._fields))

    def __getstate__(self) -> dict[str, Any]:
        # Another process maps the files itself instead of being sent a copy, unless they were only ever its maker's.
        return {"_folder": self._folder} if (self._folder / ENTRY).exists() else vars(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(vars(Store(state["_folder"])) if len(state) == 1 else state)


class Examples(Sequence[Any]):
    """Examples of one or several stores, in the order in which they are counted."""

    def __init__(self, stores: Sequence[Store], order: Indices) -> None:
        self._stores = list(stores)
        self._firsts = numpy.cumsum([0, *map(len, self._stores)])
        self.order = order
        """Numbers of examples, counted through all stores; one may stand in it several times."""

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return Examples(self._stores, self.order[number])
        example = int(self.order[number])
        store = int(numpy.searchsorted(self._firsts, example, side="right")) - 1
        return self._stores[store][example - int(self._firsts[store])]

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))


class Selection(NamedTuple):
    """Records of a store, in an order of their own."""

    store: Store
    rows: Indices


def examples_of(selections: Sequence[Selection], order: Indices) -> Examples:
    """Return the examples behind records that are counted through all selections; dropped ones are left out."""
    numbers = []
    first = 0
    for selection in selections:
        example = selection.store.rows[selection.rows]
        numbers.append(numpy.where(example < 0, -1, example + first))
        first += len(selection.store)
    chosen = numpy.concatenate(numbers)[order]
    return Examples([selection.store for selection in selections], chosen[chosen >= 0])


def _verify(path: Path, size: int, checksum: int) -> None:
    if path.stat().st_size != size:
        raise DamagedStoreError(f"{path.name} has {path.stat().st_size} bytes instead of {size}")
    found = 0
    with path.open("rb") as file:
        while block := file.read(2**20):
            found = zlib.crc32(block, found)
    if found != checksum:
        raise DamagedStoreError(f"{path.name} has another content than was written")


def _map(path: Path, kind: Any) -> NDArray[Any]:
    if not path.stat().st_size:
        return numpy.empty(0, dtype=kind)
    # Copy on write, because torch warns of arrays that cannot be written to. A plain array on top, because slices
    # of numpy's memmap class take five times as long.
    return numpy.asarray(numpy.memmap(path, dtype=kind, mode="c"))
