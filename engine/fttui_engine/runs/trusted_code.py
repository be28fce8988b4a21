"""Python code that comes with a model, and which of it the user has agreed to run: once per model and version."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from fttui_engine.runs.files import SCHEMA, read_json_or_none, write_json
from fttui_engine.runs.home import ensure_home, state_home

_NAMES_CODE = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
"""The files whose ``auto_map`` has transformers run a model's own Python."""


class ModelCode(NamedTuple):
    """The code of one model: what it is called, and what tells this version of it from every other."""

    model: str
    version: str
    files: tuple[str, ...]


def code_in(folder: Path, model: str = "", commit: str = "") -> ModelCode | None:
    """Return the code that ``trust_remote_code`` would run for a model in a folder, ``None`` where there is none.

    Of a hub's model the commit is its version, since not all its files need be here yet.
    """
    if not any("auto_map" in (read_json_or_none(folder / name) or {}) for name in _NAMES_CODE):
        return None
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py") if path.is_file())
    version = commit
    if not commit:
        digest = hashlib.sha256()
        for name in files:
            content = (folder / name).read_bytes()
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        version = digest.hexdigest()
    return ModelCode(model or str(folder.resolve()), version, tuple(files))


def is_trusted(code: ModelCode, home: Path | None = None) -> bool:
    """Whether the user has agreed to run this very code."""
    return _trusted(home or state_home()).get(code.model) == code.version


def trust(code: ModelCode, home: Path | None = None) -> None:
    """Remember that the user agreed; an agreement to another version of the same model ends."""
    ensure_home(home)
    home = home or state_home()
    write_json(
        home / "trusted.json", {"schema": SCHEMA, "trusted": {**_trusted(home), code.model: code.version}}
    )


def _trusted(home: Path) -> dict[str, object]:
    found = (read_json_or_none(home / "trusted.json") or {}).get("trusted")
    return found if isinstance(found, dict) else {}
