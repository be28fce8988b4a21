"""What there is to choose from on this machine: profiles, models, data, files; read by threads."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fttui import figures
from fttui_engine.runs.logs import one_line

MOST_OFFERS = 200
YAML_SUFFIXES = (".yaml", ".yml", ".json")
WEIGHT_SUFFIXES = (".safetensors", ".bin")
MODEL_FOLDERS = (".", "models", "~/models")
"""Where people keep models that they downloaded themselves."""


class ProfileOffer(NamedTuple):
    """A profile, and what this machine lacks for it."""

    name: str
    summary: str
    missing: str
    is_proposed: bool
    header: tuple[str, ...] = ()
    """What stands at the head of its file: when, why, what it costs."""


class ModelOffer(NamedTuple):
    """A model on this host, or one that has yet to be downloaded."""

    reference: str
    model_type: str = ""
    weights: int | None = None
    size_bytes: int | None = None
    fits: bool | None = None
    predicted_bytes: int | None = None
    remark: str = ""


class DataOffer(NamedTuple):
    """A data set that can be named, or a folder to look further into (it ends in a slash)."""

    reference: str
    remark: str = ""
    size_bytes: int | None = None


class GpuOffer(NamedTuple):
    """A GPU, its room, and whose processes are on it."""

    number: int
    name: str
    free_bytes: int | None
    total_bytes: int | None
    users: tuple[str, ...]


def list_offers() -> list[ProfileOffer]:
    """All profiles, before anybody has asked the driver what is here."""
    from fttui_engine.spec.profiles import list_profiles

    return [
        ProfileOffer(each.name, one_line(each.summary), "", False, tuple(_paragraphs(each.header)))
        for each in list_profiles()
    ]


def offer_profiles() -> list[ProfileOffer]:
    """All profiles; proposed is the one for the largest hardware that is here, unless it trains all weights.

    Training all weights asks for more of data and disk than of the card, so that nobody should come to it unasked.
    """
    from fttui_engine.spec.profiles import list_profiles, missing_hardware

    profiles = list_profiles()
    missing = {profile.name: missing_hardware(profile.hardware) or "" for profile in profiles}
    fitting = [profile for profile in profiles if not missing[profile.name]]
    lighter = [profile for profile in fitting if "\nfinetuning_type: full" not in profile.path.read_text()]
    best = (lighter or fitting)[-1].name if fitting else ""
    offers = [
        each._replace(missing=missing[each.name], is_proposed=each.name == best) for each in list_offers()
    ]
    return sorted(offers, key=lambda offer: (not offer.is_proposed, bool(offer.missing)))


def _paragraphs(header: str) -> list[str]:
    """The lines of a comment, those that go on with the one before (they are indented) joined to it."""
    joined: list[str] = []
    for text in map(one_line, header.splitlines()):
        if text.startswith(" ") and joined:
            joined[-1] += f" {text.strip()}"
        elif text:
            joined.append(text)
    return joined


def offer_gpus() -> tuple[list[GpuOffer], str]:
    """All GPUs of this machine, and in one sentence why there are none; asks the driver, which may take its time."""
    from fttui.gpu_users import GpuUsers, processes_of
    from fttui_engine.hardware.gpus import read_gpus

    report = read_gpus()
    known = GpuUsers().look(report.gpus)
    offers = []
    for gpu in report.gpus:
        users = []
        for process in processes_of(gpu):
            user = known[process.pid]
            program = os.path.basename(user.command.partition(" ")[0]) or "process"
            who = f"run {user.owner.run}" if user.owner.run else f"{user.account or 'somebody'}'s {program}"
            users.append(one_line(f"{who} {figures.memory(process.memory_bytes)}"))
        name = one_line(gpu.name)
        offers.append(GpuOffer(gpu.index, name, gpu.memory_free_bytes, gpu.memory_total_bytes, tuple(users)))
    return offers, one_line(report.error or "")


def find_models(judge_model: Callable[[str], dict[str, Any]], typed: str) -> list[ModelOffer]:
    """The models on this host whose names hold what was typed; ``judge_model`` predicts the memory of one."""
    from fttui_engine.spec.paths import DEMO_MODEL

    names = _unique([DEMO_MODEL, *_cached_models(), *_model_folders(MODEL_FOLDERS)])
    if _is_path(typed):
        names = [*_model_folders([os.path.dirname(typed) or "."]), *_folders_like(typed)]
    shown = [name for name in names if typed.lower() in name.lower()][:MOST_OFFERS]
    return [_model_offer(name, judge_model) for name in shown]


def _model_offer(reference: str, judge_model: Callable[[str], dict[str, Any]]) -> ModelOffer:
    from fttui_engine.spec.memory.model_config import read_model_config
    from fttui_engine.spec.memory.model_shape import UnknownShapeError
    from fttui_engine.spec.memory.shape_reading import read_shape

    if reference.endswith("/"):
        return ModelOffer(reference, remark="folder")
    where = reference if ":" in reference else os.path.abspath(os.path.expanduser(reference))
    where = where if os.path.isdir(where) or ":" in reference else reference
    offer = ModelOffer(reference, size_bytes=_size_of_weights(where))
    try:
        config = read_model_config(where, "main", None)
        offer = offer._replace(model_type=one_line(str(config.get("model_type", ""))))
        offer = offer._replace(weights=read_shape(config).total_weights)
    except UnknownShapeError as error:
        return offer._replace(remark=one_line(str(error)))
    memory = judge_model(reference)
    predicted = (memory.get("prediction") or {}).get("predicted_bytes")
    return offer._replace(fits=memory.get("fits"), predicted_bytes=predicted)


def _cached_models() -> list[str]:
    from fttui_engine.spec.memory.model_config import hub_cache

    found = [name for name in _names_in(hub_cache(None)) if name.startswith("models--")]
    return [name.removeprefix("models--").replace("--", "/", 1) for name in found]


def _model_folders(folders: Iterable[str]) -> list[str]:
    found = []
    for folder in folders:
        for name in _names_in(Path(os.path.expanduser(folder))):
            path = os.path.join(folder, name) if folder != "." else f"./{name}"
            if os.path.isfile(os.path.join(os.path.expanduser(path), "config.json")):
                found.append(path)
    return found


def _size_of_weights(where: str) -> int | None:
    from fttui_engine.spec.memory.model_config import hub_cache

    folder = Path(where)
    if not os.path.isdir(where):
        snapshots = hub_cache(None) / ("models--" + where.replace("/", "--")) / "snapshots"
        commits = _names_in(snapshots)
        if not commits:
            return None
        folder = snapshots / commits[0]
    files = [folder / name for name in _names_in(folder) if name.endswith(WEIGHT_SUFFIXES)]
    return sum(_size(file) for file in files) or None


def find_datasets(dataset_dir: str, typed: str) -> list[DataOffer]:
    """The data sets whose names hold what was typed last: those of dataset_info.json, data files, folders."""
    from fttui_engine.spec.paths import DATASET_INFO, DATASET_SUFFIXES, DEMO_DATASET, listed_datasets

    typed = typed.rpartition(",")[2].strip()
    if _is_path(typed):
        return files_like(typed, DATASET_SUFFIXES)
    listed = sorted(name for name, entry in (listed_datasets(dataset_dir) or {}).items() if entry)
    table = os.path.relpath(os.path.join(dataset_dir, DATASET_INFO))
    offers = [DataOffer(name, f"of {table}") for name in listed]
    offers.append(DataOffer(DEMO_DATASET, "189 instructions that come with fttui"))
    # Among other files a text is rather a note about them.
    suffixes = tuple(suffix for suffix in DATASET_SUFFIXES if suffix != ".txt")
    for folder in ("./", "./data/"):
        offers += [each for each in files_like(folder, suffixes) if not each.reference.endswith("/")]
    return [
        each
        for each in offers
        if typed.lower() in each.reference.lower() and not each.reference.endswith(f"/{DATASET_INFO}")
    ][:MOST_OFFERS]


def files_like(typed: str, suffixes: tuple[str, ...]) -> list[DataOffer]:
    """The files and folders that a path may go on to, folders first and with a slash behind them."""
    folder, beginning = os.path.split(typed)
    found: list[DataOffer] = []
    for name in _names_in(Path(os.path.expanduser(folder or "."))):
        path = os.path.join(folder, name)
        real = Path(os.path.expanduser(path))
        if not name.startswith(beginning) or (name.startswith(".") and not beginning.startswith(".")):
            continue
        if os.path.isdir(real):
            found.append(DataOffer(f"{path}/", "folder"))
        elif name.lower().endswith(suffixes):
            found.append(DataOffer(path, "file", _size(real)))
    return sorted(found, key=lambda each: (each.remark != "folder", each.reference))[:MOST_OFFERS]


def _folders_like(typed: str) -> list[str]:
    return [each.reference for each in files_like(typed, ("/",))]


def _is_path(typed: str) -> bool:
    return typed.startswith(("/", ".", "~"))


def _names_in(folder: Path) -> list[str]:
    """The names in a folder, those that a terminal would obey left out; none where it cannot be read."""
    try:
        return sorted(name for name in os.listdir(folder) if name == one_line(name))
    except OSError:
        return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
