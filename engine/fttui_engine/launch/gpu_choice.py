"""Which GPUs a run may see, decided once, before it starts."""

import os
from typing import TYPE_CHECKING

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.files import DamagedFileError
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.run import Run, all_runs

if TYPE_CHECKING:
    from fttui_engine.hardware.gpus import Gpu


def choose_gpus(wanted: int | str | tuple[int | str, ...]) -> list[int] | None:
    """Return the indices of the GPUs for a run, ``None`` for a run on the CPU.

    ``wanted`` is the value of ``run.gpus``: ``auto``, ``none``, a number of GPUs, or indices. ``auto`` is one GPU,
    because transformers spreads over all GPUs that it sees in one process (DataParallel: slower, and not resumable
    exactly). Raises WrongRequestError where there are not that many.
    """
    if wanted in ("none", 0):
        return None
    gpus = _visible_gpus()
    if isinstance(wanted, tuple):
        return _these(wanted, gpus)
    count = 1 if wanted == "auto" else int(wanted)
    if not gpus and wanted == "auto":
        return None
    if len(gpus) < count:
        raise WrongRequestError(
            f"run.gpus: {count} GPUs are wanted and this machine shows {len(gpus)}",
            "ask for fewer, or write gpus: none to train on the CPU",
        )
    taken = _taken_by_live_runs()
    by_room = sorted(gpus, key=lambda gpu: (gpu.index in taken, -_free_bytes(gpu), gpu.index))
    return sorted(gpu.index for gpu in by_room[:count])


def _these(wanted: tuple[int | str, ...], gpus: "list[Gpu]") -> list[int]:
    there = {gpu.index for gpu in gpus}
    if missing := [index for index in wanted if index not in there]:
        shown = ", ".join(map(str, sorted(there))) or "none"
        raise WrongRequestError(f"run.gpus: there is no GPU {missing[0]}", f"this machine shows: {shown}")
    return [int(index) for index in wanted]


def _visible_gpus() -> "list[Gpu]":
    """Return the GPUs of this machine that CUDA_VISIBLE_DEVICES, where it is set, leaves to us."""
    if not _driver_is_there():
        return []
    from fttui_engine.hardware.gpus import read_gpus

    gpus = list(read_gpus().gpus)
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return gpus
    names = {name.strip() for name in allowed.split(",")}
    return [gpu for gpu in gpus if str(gpu.index) in names or gpu.uuid in names]


def _driver_is_there() -> bool:
    """Whether NVML can be loaded; spares ``fttui start`` the import of its bindings (26 ms) where it cannot."""
    import ctypes

    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


def _taken_by_live_runs() -> set[int]:
    return {gpu for run in all_runs() if read_state(run).state.is_live for gpu in _gpus_of(run)}


def _gpus_of(run: Run) -> list[int]:
    try:
        return run.read_plan().gpus or []
    except DamagedFileError:
        return []


def _free_bytes(gpu: "Gpu") -> int:
    return (gpu.memory_total_bytes or 0) - (gpu.memory_used_bytes or 0)


def gpu_to_use(wanted: int | None) -> int | None:
    """Return the GPU for using a model, ``None`` where this machine has none; never one that a run computes on.

    ``wanted`` is one that a person named, who may share it with a run. Raises WrongRequestError.
    """
    gpus = _visible_gpus()
    if wanted is not None:
        return _these((wanted,), gpus)[0]
    if not gpus:
        return None
    free = sorted((gpu for gpu in gpus if gpu.index not in _taken_by_live_runs()), key=_free_bytes)
    if not free:
        raise WrongRequestError(
            "every GPU is busy with a run",
            "--cpu uses the CPU; --gpu N shares GPU N, if the memory suffices for both",
        )
    return free[-1].index
