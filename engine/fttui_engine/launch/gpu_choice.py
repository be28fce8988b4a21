"""Which GPUs a run may see, decided once, before it starts."""

from typing import TYPE_CHECKING, NamedTuple

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.files import DamagedFileError
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.run import Run, all_runs
from fttui_engine.runs.states import State

if TYPE_CHECKING:
    from fttui_engine.hardware.gpus import Gpu

Wanted = int | str | tuple[int | str, ...]


class GpuChoice(NamedTuple):
    """The GPUs for a run."""

    gpus: list[int] | None
    """Their indices, ``None`` for a run on the CPU."""
    leases: tuple[str, ...] = ()
    """The locks that make them the run's own."""
    remarks: tuple[str, ...] = ()
    """What a person should know about them."""


def choose_gpus(wanted: Wanted) -> list[int] | None:
    """Return the indices of the GPUs for a run, ``None`` for a run on the CPU; raises WrongRequestError."""
    return choose(wanted).gpus


def choose(wanted: Wanted) -> GpuChoice:
    """Return GPUs that no run has, or exactly those that a person named, even if a run has them.

    ``wanted`` is the value of ``run.gpus``: ``auto``, ``none``, a number of GPUs, or indices. ``auto`` is one GPU,
    because transformers spreads over all GPUs that it sees in one process (DataParallel: slower, and not resumable
    exactly). Raises WrongRequestError where there are not that many.
    """
    if wanted in ("none", 0):
        return GpuChoice(None)
    gpus = _visible_gpus()
    if isinstance(wanted, tuple):
        named = _these(wanted, gpus)
        return _share([gpu for gpu in gpus if gpu.index in named], named)
    count = 1 if wanted == "auto" else int(wanted)
    if not gpus and wanted == "auto":
        return GpuChoice(None)
    _require_so_many(count, gpus)
    taken = _taken(gpus)
    free = sorted(
        (gpu for gpu in gpus if gpu.index not in taken), key=lambda gpu: (-_free_bytes(gpu), gpu.index)
    )
    if len(free) < count:
        users = ", ".join(f"GPU {index} by {who}" for index, who in sorted(taken.items()))
        raise WrongRequestError(
            f"run.gpus: {_gpus(count)} wanted and {len(free)} free; in use: {users}",
            "--queue waits for them (fttui start --queue); --gpus 0, would share GPU 0",
        )
    choice = _lease(free[:count])
    return choice._replace(remarks=(*choice.remarks, *_who_is_passed()))


def require_gpus(wanted: Wanted) -> int | tuple[int, ...]:
    """Return how many GPUs a queued run is to wait for (0: none), or which; raises WrongRequestError."""
    if wanted in ("none", 0):
        return 0
    gpus = _visible_gpus()
    if isinstance(wanted, tuple):
        return tuple(_these(wanted, gpus))
    if wanted == "auto":
        return min(1, len(gpus))
    _require_so_many(int(wanted), gpus)
    return int(wanted)


def _require_so_many(count: int, gpus: "list[Gpu]") -> None:
    if len(gpus) < count:
        raise WrongRequestError(
            f"run.gpus: {count} GPUs are wanted and this machine shows {len(gpus)}",
            "ask for fewer, or write gpus: none to train on the CPU",
        )


def _these(wanted: tuple[int | str, ...], gpus: "list[Gpu]") -> list[int]:
    there = {gpu.index for gpu in gpus}
    if missing := [index for index in wanted if index not in there]:
        shown = ", ".join(map(str, sorted(there))) or "none"
        raise WrongRequestError(f"run.gpus: there is no GPU {missing[0]}", f"this machine shows: {shown}")
    return [int(index) for index in wanted]


def _lease(gpus: "list[Gpu]") -> GpuChoice:
    from fttui_engine.supervise.leases import LeaseError, lease_name, lock_folder

    indices = sorted(gpu.index for gpu in gpus)
    try:
        lock_folder()
    except LeaseError as error:
        return GpuChoice(indices, (), (f"no lease was taken: {error.message}; {error.hint}",))
    return GpuChoice(indices, tuple(sorted(lease_name(gpu.index, gpu.uuid) for gpu in gpus)))


def _share(gpus: "list[Gpu]", order: list[int]) -> GpuChoice:
    """Take what a person named: those that a run has are shared with it, and said to be."""
    taken = _taken(gpus)
    choice = _lease([gpu for gpu in gpus if gpu.index not in taken])
    remarks = tuple(f"GPU {index} is in use by {who} too" for index, who in sorted(taken.items()))
    return GpuChoice(order, choice.leases, (*choice.remarks, *remarks))


def _taken(gpus: "list[Gpu]") -> dict[int, str]:
    """Return who has which GPU: by its lease, whoever's it is, else by the plans of this user's runs."""
    from fttui_engine.supervise.leases import holder_of, lease_name

    taken = _taken_by_live_runs()
    for gpu in gpus:
        if holder := holder_of(lease_name(gpu.index, gpu.uuid)):
            taken[gpu.index] = str(holder)
    there = {gpu.index for gpu in gpus}
    return {index: who for index, who in taken.items() if index in there}


def _who_is_passed() -> tuple[str, ...]:
    from fttui_engine.supervise.queue_line import waiting_for_gpus

    if count := waiting_for_gpus():
        return (f"it passes {_runs(count)} in the queue for GPUs; --queue would wait behind",)
    return ()


def _runs(count: int) -> str:
    return "a run that waits" if count == 1 else f"{count} runs that wait"


def _gpus(count: int) -> str:
    return "1 GPU is" if count == 1 else f"{count} GPUs are"


def _visible_gpus() -> "list[Gpu]":
    """Return the GPUs of this machine that CUDA_VISIBLE_DEVICES, where it is set, leaves to us."""
    if not _driver_is_there():
        return []
    from fttui_engine.hardware.free_gpus import visible_gpus

    return visible_gpus()


def _driver_is_there() -> bool:
    """Whether NVML can be loaded; spares ``fttui start`` the import of its bindings (26 ms) where it cannot."""
    import ctypes

    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


def _taken_by_live_runs() -> dict[int, str]:
    return {gpu: run.id for run in all_runs() if _is_at_work(run) for gpu in _gpus_of(run)}


def _is_at_work(run: Run) -> bool:
    state = read_state(run).state
    return state.is_live and state is not State.QUEUED


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
    taken = _taken(gpus)
    free = sorted((gpu for gpu in gpus if gpu.index not in taken), key=_free_bytes)
    if not free:
        raise WrongRequestError(
            "every GPU is busy with a run",
            "--cpu uses the CPU; --gpu N shares GPU N, if the memory suffices for both",
        )
    return free[-1].index
