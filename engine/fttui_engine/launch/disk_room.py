"""Whether the disks of this host have room for what a run is going to write."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fttui_engine.runs.free_space import free_bytes, nearest_folder
from fttui_engine.runs.home import state_home
from fttui_engine.spec.disk import LEAST_KEPT, checkpoint_bytes, checkpoints_at_once, result_bytes
from fttui_engine.spec.memory.model_config import read_model_config
from fttui_engine.spec.memory.model_shape import ModelShape, UnknownShapeError
from fttui_engine.spec.memory.shape_reading import read_shape
from fttui_engine.spec.memory.workload import Workload, read_workload
from fttui_engine.spec.paths import listed_datasets

if TYPE_CHECKING:
    from fttui_engine.spec.resolved import Resolved

# Log, metrics and states of a training that prints what it does; a log without end is cut at run.log_max_bytes.
LOG_BYTES = 64 * 2**20
# Prepared data has 8 bytes per token, and a token of text has about four.
PREPARED_PER_TEXT = 2
# As in train/data/cache.py, which never keeps more.
MOST_PREPARED_BYTES = 20 * 2**30


class Need(NamedTuple):
    """Something that a run writes to a folder."""

    what: str
    folder: Path
    size_bytes: int


class DiskRoom(NamedTuple):
    """What a run is going to write to one file system, and what is free there."""

    needs: tuple[Need, ...]
    free_bytes: int

    @property
    def needed_bytes(self) -> int:
        """All of it."""
        return sum(need.size_bytes for need in self.needs)

    def to_json(self) -> dict[str, Any]:
        """The entry of ``disk`` in ``fttui check --json``."""
        needs = [
            {"what": need.what, "folder": str(need.folder), "bytes": need.size_bytes} for need in self.needs
        ]
        return {"free_bytes": self.free_bytes, "needed_bytes": self.needed_bytes, "needs": needs}

    @property
    def warning(self) -> str:
        """What to say of it, empty where there is room."""
        if self.free_bytes >= self.needed_bytes:
            return ""
        parts = ", ".join(f"{_size(need.size_bytes)} {need.what}" for need in self.needs if need.size_bytes)
        return (
            f"the disk of {self.needs[0].folder} has {_size(self.free_bytes)} free, and this run takes "
            f"{_size(self.needed_bytes)} there ({parts}); free some, lower save_total_limit or choose another output_dir"
        )


def disk_rooms(resolved: "Resolved") -> list[DiskRoom]:
    """Each file system that a training writes to; none where its sizes are not known."""
    values = resolved.values
    if not resolved.ok or resolved.run.command is not None:
        return []
    try:
        config = read_model_config(
            values["model_name_or_path"], values["model_revision"], values.get("cache_dir")
        )
        shape = read_shape(config)
        # How processes share their memory changes nothing about what is written.
        work = read_workload(values, shape, on_cpu=True, processes=1)
    except UnknownShapeError:
        return []
    by_device: dict[int, list[Need]] = {}
    for need in _needs(shape, work, values):
        by_device.setdefault(nearest_folder(need.folder).stat().st_dev, []).append(need)
    return [DiskRoom(tuple(needs), free_bytes(needs[0].folder)) for needs in by_device.values()]


def _needs(shape: ModelShape, work: Workload, values: dict[str, Any]) -> list[Need]:
    """What is written at the worst moment; where the data decide about checkpoints, those that are always kept."""
    known = checkpoints_at_once(values)
    count = LEAST_KEPT if known is None else known
    checkpoints = f"for {count} checkpoint{'s' * (count != 1)}" + (" at least" if known is None else "")
    # Without an output_dir the run's own folder is it.
    output = Path(values.get("output_dir") or state_home())
    return [
        Need(checkpoints, output, count * checkpoint_bytes(shape, work)),
        Need("for the result", output, result_bytes(shape, work)),
        Need(
            "for prepared data",
            state_home(),
            min(PREPARED_PER_TEXT * _data_bytes(values), MOST_PREPARED_BYTES),
        ),
        Need("for logs", state_home(), LOG_BYTES),
    ]


def _data_bytes(values: dict[str, Any]) -> int:
    """The size of the data files that are on this host."""
    if values.get("tokenized_path"):
        return 0
    folder = values["dataset_dir"]
    listed = listed_datasets(folder) or {}
    total = 0
    for entry in (*(values.get("dataset") or ()), *(values.get("eval_dataset") or ())):
        about = listed.get(entry)
        name = about.get("file_name") if isinstance(about, dict) else entry
        path = Path(folder, name) if isinstance(name, str) else None
        total += path.stat().st_size if path and path.is_file() else 0
    return total


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e8 else f"{size_bytes / 1e6:.0f} MB"
