"""Checkpoints: sealed by a manifest that is written last, or they do not count."""

import itertools
import json
import os
import re
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fttui_engine.errors import FttuiError
from fttui_engine.runs.files import SCHEMA, DamagedFileError, Json, finite, read_json, sync_folder, write_json

MANIFEST = "manifest.json"
_FOLDER = re.compile(r"checkpoint-([0-9]+)")


class CheckpointDamagedError(FttuiError):
    """A checkpoint is not what its manifest says; ``reason`` says how."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"{folder} is damaged: {reason}", "resume from an earlier checkpoint")
        self.reason = reason


class SealedFile(NamedTuple):
    """One file of a checkpoint, its name relative to the checkpoint's folder."""

    name: str
    size_bytes: int
    sha256: str


class Manifest(NamedTuple):
    """What a checkpoint holds and what made it."""

    step: int
    world_size: int
    versions: dict[str, str]
    files: tuple[SealedFile, ...]
    sealed_at: float
    extra: Json


class Checkpoint(NamedTuple):
    """One checkpoint as a list shows it: cheap to find, not verified."""

    step: int
    path: Path
    complete: bool
    """It is sealed and every file has its size; its content is only checked by ``verify``."""
    size_bytes: int
    sealed_at: float | None


def seal(
    folder: Path, step: int, world_size: int, versions: dict[str, str], extra: Json | None = None
) -> Manifest:
    """Make all files of a checkpoint survive a power cut, then write the manifest that makes it count.

    sha256 costs about 1 s of one core per GiB (measured 994 MiB/s).
    """
    files = []
    folders = {folder}
    for path in sorted(folder.rglob("*")):
        if path.name == MANIFEST or not path.is_file():
            continue
        with path.open("rb") as file:
            os.fsync(file.fileno())
            digest = _sha256(file)
            size_bytes = os.fstat(file.fileno()).st_size
        folders.add(path.parent)
        files.append(SealedFile(path.relative_to(folder).as_posix(), size_bytes, digest))
    for each in folders:
        sync_folder(each)
    manifest = Manifest(step, world_size, versions, tuple(files), time.time(), extra or {})
    value = {"schema": SCHEMA, **manifest._asdict(), "files": [file._asdict() for file in files]}
    # As it will be read back (a NaN by its name, every key a text), because the checksum is taken of the meaning.
    value = json.loads(json.dumps(finite(value)))
    write_json(folder / MANIFEST, {**value, "digest": _digest(value)})
    return manifest


def verify(folder: Path, meanwhile: Callable[[], None] = lambda: None) -> Manifest:
    """Return the manifest after reading every byte of the checkpoint; raises CheckpointDamagedError.

    ``meanwhile`` is called after every 16 MiB (16 ms): whoever has others to answer can do so, or raise to give up.
    """
    manifest = read_manifest(folder)
    for sealed in manifest.files:
        path = folder / sealed.name
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size != sealed.size_bytes:
                    raise CheckpointDamagedError(
                        folder, f"{sealed.name} does not have its {sealed.size_bytes} bytes"
                    )
                digest = _sha256(file, meanwhile)
        except OSError as error:
            raise CheckpointDamagedError(folder, f"{sealed.name}: {error.strerror}") from error
        if digest != sealed.sha256:
            raise CheckpointDamagedError(
                folder, f"the content of {sealed.name} has changed since it was sealed"
            )
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Return a checkpoint's manifest if it is whole and belongs here; raises CheckpointDamagedError."""
    try:
        value = read_json(folder / MANIFEST)
    except DamagedFileError as error:
        raise CheckpointDamagedError(folder, "its manifest cannot be read") from error
    if value is None:
        raise CheckpointDamagedError(folder, "it was never sealed: writing it was cut short")
    digest = value.pop("digest", None)
    if digest != _digest(value):
        raise CheckpointDamagedError(folder, "its manifest has changed since it was sealed")
    try:
        manifest = Manifest(
            step=int(value["step"]),
            world_size=int(value["world_size"]),
            versions=dict(value["versions"]),
            files=tuple(
                SealedFile(str(file["name"]), int(file["size_bytes"]), str(file["sha256"]))
                for file in value["files"]
            ),
            sealed_at=float(value["sealed_at"]),
            extra=dict(value["extra"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointDamagedError(folder, "its manifest is incomplete") from error
    if folder.name != f"checkpoint-{manifest.step}":
        raise CheckpointDamagedError(folder, f"its manifest is that of step {manifest.step}")
    return manifest


def list_checkpoints(output_dir: Path) -> list[Checkpoint]:
    """Return the checkpoints of a folder, lowest step first, without reading their content."""
    try:
        entries = [
            entry for entry in os.scandir(output_dir) if _FOLDER.fullmatch(entry.name) and entry.is_dir()
        ]
    except (OSError, ValueError):  # ValueError: a damaged plan named a folder that no file system can have
        return []
    return sorted(_glance(Path(entry.path)) for entry in entries)


def set_aside(folder: Path) -> Path:
    """Rename a checkpoint that does not count, so that nothing resumes from it and nothing of it is lost."""
    for number in itertools.count(1):
        target = folder.with_name(f"torn-{folder.name}" + (f".{number}" if number > 1 else ""))
        if not target.exists():
            break
    os.rename(folder, target)
    return target


def delete(folder: Path) -> None:
    """Delete a checkpoint; it counts no more from the first moment on, even if the deletion is cut short."""
    import shutil

    doomed = folder.with_name(f".deleted-{folder.name}-{os.urandom(4).hex()}")
    os.rename(folder, doomed)
    shutil.rmtree(doomed)


def retire(output_dir: Path, label: str, above_step: int = -1) -> list[int]:
    """Move the checkpoints above a step into the folder ``before-<label>``, because training goes back behind them.

    Left in place, a later resume would take them for the present training's newest. Returns their steps. Where an
    earlier run of the same label left one of the same step, the folder gets a number, so that nothing is lost.
    """
    retired = [checkpoint for checkpoint in list_checkpoints(output_dir) if checkpoint.step > above_step]
    for checkpoint in retired:
        aside = _free_folder(output_dir / f"before-{label}", checkpoint.path.name)
        aside.mkdir(mode=0o700, exist_ok=True)
        os.rename(checkpoint.path, aside / checkpoint.path.name)
    return [checkpoint.step for checkpoint in retired]


def _free_folder(folder: Path, name: str) -> Path:
    numbered = (folder.with_name(f"{folder.name}.{number}") for number in itertools.count(2))
    return next(each for each in itertools.chain([folder], numbered) if not (each / name).exists())


def _glance(folder: Path) -> Checkpoint:
    step = int(folder.name.rpartition("-")[2])
    try:
        manifest = read_manifest(folder)
        complete = all((folder / file.name).stat().st_size == file.size_bytes for file in manifest.files)
    except (CheckpointDamagedError, OSError):
        return Checkpoint(step, folder, False, 0, None)
    return Checkpoint(
        step, folder, complete, sum(file.size_bytes for file in manifest.files), manifest.sealed_at
    )


def _sha256(file: BinaryIO, meanwhile: Callable[[], None] = lambda: None) -> str:
    import hashlib

    digest, block = hashlib.sha256(), memoryview(bytearray(1 << 20))
    for number in itertools.count(1):
        size = file.readinto(block)  # type: ignore[attr-defined]
        if not size:
            return digest.hexdigest()
        digest.update(block[:size])
        if number % 16 == 0:
            meanwhile()
    raise AssertionError("a count without end")


def _digest(value: Json) -> str:
    """Return the checksum that the manifest carries of itself, of its meaning and not of its layout.

    A CRC, because every list of runs reads manifests and importing hashlib costs a quarter of starting Python.
    """
    return f"{zlib.crc32(json.dumps(value, sort_keys=True).encode()):08x}"
