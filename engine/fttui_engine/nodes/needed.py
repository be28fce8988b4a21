"""Which files and models a configuration needs on every machine."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fttui_engine.errors import WrongRequestError
from fttui_engine.nodes.on_node.files import describe, find_model
from fttui_engine.spec.paths import DATASET_INFO, DEMO_PREFIX, listed_datasets

if TYPE_CHECKING:
    from fttui_engine.spec.resolved import Resolved

SINGLE_PATHS = ("model_name_or_path", "ref_model", "reward_model", "tokenized_path", "deepspeed")
PATH_LISTS = ("adapter_name_or_path", "ref_model_adapters", "reward_model_adapters")
MODELS = ("model_name_or_path", "ref_model", *PATH_LISTS)


class Needed(NamedTuple):
    """Something that must be the same on every machine."""

    subject: Literal["model", "data"]
    key: str
    """The key of the configuration that names it."""
    name: str
    """A full path, or the name of a model on the hub."""
    is_hub: bool
    digest: str | None
    """``None`` for a model of the hub that this machine does not have."""
    size_bytes: int
    path: Path | None
    """Where it lies on this machine."""

    @property
    def copy_name(self) -> str:
        """The name of its copy in a scratch folder: another content has another name."""
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.basename(self.name)).strip(".-")[:60]
        return f"{plain or 'files'}-{(self.digest or 'unknown')[:16]}"

    @property
    def single(self) -> str:
        """The name of the file within its copy; empty for a folder."""
        return self.path.name if self.path is not None and self.path.is_file() else ""


def needed_by(resolved: "Resolved") -> list[Needed]:
    """Return what the configuration reads, each once, with its digest here; raises where a file is missing."""
    if resolved.run.command is not None:
        return []
    found: dict[str, Needed] = {}
    for key, name in _names(resolved.values):
        if not name.startswith(DEMO_PREFIX) and name not in found:
            found[name] = _look(key, name)
    return list(found.values())


def _names(values: dict[str, Any]) -> list[tuple[str, str]]:
    named = [(key, values[key]) for key in SINGLE_PATHS if values.get(key)]
    named += [(key, name) for key in PATH_LISTS for name in values.get(key) or ()]
    if values.get("tokenized_path"):
        return named
    folder = values.get("dataset_dir") or ""
    listed = listed_datasets(folder) or {}
    for key in ("dataset", "eval_dataset"):
        for name in values.get(key) or ():
            entry = listed.get(name)
            file = entry.get("file_name") if isinstance(entry, dict) else None
            if file:
                named += [
                    (key, os.path.join(folder, file)),
                    ("dataset_dir", os.path.join(folder, DATASET_INFO)),
                ]
            elif name.startswith("/"):
                named.append((key, name))
    return named


def _look(key: str, name: str) -> Needed:
    subject: Literal["model", "data"] = "model" if key in MODELS or key == "reward_model" else "data"
    if not name.startswith("/"):
        here = find_model(name)
        path = Path(here["path"]) if here["found"] else None
        size = sum(each.stat().st_size for each in path.rglob("*") if each.is_file()) if path else 0
        return Needed(subject, key, name, True, here.get("digest"), size, path)
    here = describe(name)
    if not here["found"] or here["trouble"]:
        raise WrongRequestError(
            f"{key}: {here['trouble'] or f'{name} is not there'}", "fttui check says more"
        )
    return Needed(subject, key, name, False, here["digest"], here["bytes"], Path(name))
