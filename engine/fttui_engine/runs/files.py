"""Files that survive a crash at any moment: states replaced atomically, histories appended line by line."""

import errno
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fttui_engine.errors import FttuiError
from fttui_engine.runs.home import PRIVATE_FILE

Json = dict[str, Any]

SCHEMA = 1
"""Version of every file format here. A reader accepts unknown fields; a newer schema is read, never rewritten."""

MOST_ATTEMPTS = 99_999

NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""JSON has no NaN; it is written as these strings (the convention of protobuf's JSON) and read back as numbers."""


_YEAR_10000 = 253_402_300_800.0


class DamagedFileError(FttuiError):
    """A file of a run directory cannot be read as what it should be."""


def write_json(path: Path, value: Json, *, durable: bool = True) -> None:
    """Replace ``path`` atomically by an object; ``durable`` as in ``replace_file``."""
    replace_file(path, json.dumps(finite(value), indent=1).encode() + b"\n", durable=durable)


def replace_file(
    path: Path,
    content: bytes,
    *,
    mode: int = PRIVATE_FILE,
    durable: bool = True,
    prepare: Callable[[int], object] | None = None,
) -> None:
    """Replace ``path`` atomically: a reader sees the old content or the new, whatever is killed meanwhile.

    ``durable`` adds the fsyncs (8 ms instead of 0.7 ms) that make it survive a power cut too. ``prepare`` is given the
    descriptor of the new file before it takes the place of the old one.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(3).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(descriptor, content)
            if prepare:
                prepare(descriptor)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def read_json(path: Path) -> Json | None:
    """Return the object in ``path``, ``None`` where there is no such file; raise DamagedFileError if it is none."""
    try:
        with _open(path) as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read: {error.strerror}") from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise DamagedFileError(f"{path} is damaged: not an object")
    return value


def _open(path: Path) -> BinaryIO:
    """Open for reading, once more where NFS says that the file it knew by this name was replaced on another host."""
    try:
        return path.open("rb")
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        return path.open("rb")


def read_json_or_none(path: Path) -> Json | None:
    """Return the object in ``path``, or ``None`` where it is missing or damaged."""
    try:
        return read_json(path)
    except DamagedFileError:
        return None


def append_line(path: Path, value: Json, *, durable: bool = False) -> None:
    """Append one object as one line with one ``write``; a line that a killed writer tore is closed first."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        line = json.dumps(finite(value)).encode() + b"\n"
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        write_all(descriptor, line)
        if durable:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


class Line(NamedTuple):
    """One complete line of a history, with the offset behind it; ``value`` is ``None`` where it is garbled."""

    value: Json | None
    end_offset: int


def read_lines(path: Path, offset: int = 0) -> Iterator[Line]:
    """Yield the complete lines of a JSON-lines file from ``offset``; a last line without newline is not yet there."""
    try:
        file = _open(path)
    except OSError:
        return
    with file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            if line.strip():
                yield Line(parse_line(line), offset)


def parse_line(line: bytes) -> Json | None:
    """Return the object of one line, or ``None`` where the line is garbled."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def finite(value: Any) -> Any:
    """Return ``value`` with every float that JSON cannot carry replaced by its name in NON_FINITE."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def number(value: object) -> float | None:
    """Return a number that a file carries, also one that JSON has no number for; ``None`` for anything else."""
    if isinstance(value, str):
        return NON_FINITE.get(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def finite_number(value: object) -> float | None:
    """Return a number that a file carries if it can be counted with, ``None`` for anything else."""
    found = number(value)
    try:
        return found if found is not None and math.isfinite(found) else None
    except OverflowError:  # an integer beyond every float
        return None


def moment(value: object) -> float | None:
    """Return a time that a file carries, ``None`` for anything that no calendar has."""
    found = finite_number(value)
    return found if found is not None and 0 <= found < _YEAR_10000 else None


def whole_number(value: object) -> int | None:
    """Return a whole number that a file carries, ``None`` for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def attempt_number(value: object) -> int:
    """Return the number of an attempt that a file carries; raises ValueError for what cannot be one."""
    found = 0 if value is None else whole_number(value)
    if found is None or not 0 <= found <= MOST_ATTEMPTS:
        raise ValueError(f"not the number of an attempt: {value!r}"[:80])
    return found


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of ``content``; a full disk or a signal may cut a single ``write`` short."""
    while content:
        content = content[os.write(descriptor, content) :]


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power cut; a file system that cannot sync a folder is let be."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (22, 95):  # EINVAL, EOPNOTSUPP: some FUSE and network file systems
            raise
    finally:
        os.close(descriptor)
