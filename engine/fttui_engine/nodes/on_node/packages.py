"""Versions of what trains, read from the files of their installation: importing torch would take seconds.

Run as a program of its own by the Python that trains, whose search path another process does not have.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata, util
from pathlib import Path
from zlib import crc32

NAMES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "bitsandbytes",
    "nvidia-nccl-cu12",
    "nvidia-nccl-cu13",
    "nvidia-cuda-runtime-cu12",
    "nvidia-cuda-runtime",
)


def versions() -> dict[str, str | None]:
    """Return the version of each package, ``None`` where it is not installed."""
    found: dict[str, str | None] = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in NAMES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    found["fttui"], found["fttui code"] = _fttui()
    return found


def _fttui() -> tuple[str | None, str | None]:
    """The version, and a number that any difference of the source changes: two checkouts have the same version."""
    place = util.find_spec("fttui_engine")
    folders = list(place.submodule_search_locations or []) if place else []
    if not folders:
        return None, None
    number, version = 0, None
    for path in sorted(Path(folders[0]).rglob("*.py")):
        content = path.read_bytes()
        number = crc32(str(path.relative_to(folders[0])).encode() + content, number)
        if path.name == "version.py":
            version = content.decode().partition('__version__ = "')[2].partition('"')[0] or None
    return version, f"{number:08x}"


if __name__ == "__main__":
    print("fttui-versions " + json.dumps(versions()))
