"""Files of a machine: what they are, told by a digest, and how missing ones arrive."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any, BinaryIO

# A model of 140 GB is told by its sizes and these pieces of each file in well under a second.
WHOLE_BYTES = 64 << 20
PIECE_BYTES = 1 << 20
MOST_FILES = 20_000


def describe(path: str) -> dict[str, Any]:
    """Return digest, number of files and bytes of a file or folder; ``found`` says whether there is one."""
    root = Path(path)
    try:
        if root.is_file():
            listed = [("", root)]
        elif root.is_dir():
            listed = sorted((str(each.relative_to(root)), each) for each in root.rglob("*") if each.is_file())
        else:
            return {"found": False, "trouble": ""}
        if len(listed) > MOST_FILES:
            return {"found": True, "trouble": f"{path} has more than {MOST_FILES} files"}
        total = hashlib.sha256()
        for name, each in listed:
            total.update(
                f"{name}\0{each.stat().st_size}\0{file_digest(each)}\n".encode(errors="surrogateescape")
            )
        size = sum(each.stat().st_size for _, each in listed)
    except OSError as error:
        return {"found": False, "trouble": f"{path}: {error.strerror}"}
    return {
        "found": True,
        "trouble": "",
        "digest": total.hexdigest()[:32],
        "files": len(listed),
        "bytes": size,
    }


def file_digest(path: Path) -> str:
    """The digest of a file's content; of a large one, of its beginning, middle and end."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if size <= WHOLE_BYTES:
            while True:
                piece = file.read(PIECE_BYTES)
                if not piece:
                    break
                digest.update(piece)
        else:
            for offset in (0, size // 2, size - PIECE_BYTES):
                file.seek(offset)
                digest.update(file.read(PIECE_BYTES))
    return digest.hexdigest()[:32]


def held(scratch: str, name: str, single: str) -> dict[str, Any]:
    """Return which files of a copy that was begun earlier are whole, by their digest, and the room for the others.

    ``single`` is the name of the one file that is copied, empty for a folder.
    """
    part, whole = copy_places(scratch, name)
    if whole.exists():
        return {"is_there": True, "path": str(whole / single), "files": {}, "free_bytes": None}
    part.mkdir(parents=True, exist_ok=True, mode=0o700)
    # What was being written when a copy was cut off has its name last.
    found = {str(each.relative_to(part)): each for each in part.rglob("*") if each.is_file()}
    files = {name: file_digest(each) for name, each in found.items() if not name.endswith(".arriving")}
    return {
        "is_there": False,
        "path": str(whole / single),
        "files": files,
        "free_bytes": shutil.disk_usage(part).free,
    }


def copied(scratch: str, name: str, single: str) -> str | None:
    """Return where a whole copy is; nothing is made."""
    _, whole = copy_places(scratch, name)
    return str(whole / single) if (whole / single).exists() else None


def receive(stream: BinaryIO, scratch: str, name: str) -> dict[str, Any]:
    """Take an archive from a stream into a copy; each file has its name only when it is whole."""
    part, _ = copy_places(scratch, name)
    root = part.resolve()
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            target = (root / member.name).resolve()
            if not member.isreg() or root not in target.parents:
                return {"trouble": f"{member.name} is no ordinary file below the copy's folder"}
            target.parent.mkdir(parents=True, exist_ok=True)
            arriving = target.with_name(target.name + ".arriving")
            content = archive.extractfile(member)
            with arriving.open("wb") as file:
                shutil.copyfileobj(content, file, PIECE_BYTES)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            os.replace(str(arriving), str(target))
    return {"trouble": ""}


def finish(scratch: str, name: str, single: str, digest: str) -> dict[str, Any]:
    """Give a copy its place if it is what was sent."""
    part, whole = copy_places(scratch, name)
    if not whole.exists():
        for each in part.rglob("*.arriving"):
            each.unlink()
        if describe(str(part / single)).get("digest") != digest:
            return {"path": "", "trouble": "what arrived is not what was sent; try again"}
        os.replace(str(part), str(whole))
    return {"path": str(whole / single), "trouble": ""}


def copy_places(scratch: str, name: str) -> tuple[Path, Path]:
    """Where a copy grows and where it is when it is whole, both below the scratch folder."""
    if "/" in name or name.startswith("."):
        raise ValueError("not a name for a copy: " + name)
    folder = Path(scratch, "fttui", "copies")
    return folder / ("." + name + ".part"), folder / name


def find_model(name: str) -> dict[str, Any]:
    """Return where the hub's cache of this machine has a model, if whole enough to be loaded."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "huggingface"
    )
    hub = (
        os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
    )
    folder = Path(hub, "models--" + name.replace("/", "--"))
    try:
        commit = (folder / "refs/main").read_text().strip()
    except OSError:
        return {"found": False, "trouble": ""}
    snapshot = folder / "snapshots" / commit
    weights = [each for each in snapshot.glob("*") if each.name.endswith((".safetensors", ".bin", ".gguf"))]
    whole = (snapshot / "config.json").exists() and any(each.exists() for each in weights)
    if not whole or list((folder / "blobs").glob("*.incomplete")):
        return {"found": False, "trouble": "a download of it was begun and not finished"}
    return {"found": True, "trouble": "", "digest": commit, "path": str(snapshot)}
