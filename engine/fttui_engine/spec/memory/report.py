"""The memory part of the verdict of ``fttui check``: prediction, room on this host, whether it fits, what to change."""

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from fttui_engine.spec.disk import checkpoint_bytes, disk_bytes
from fttui_engine.spec.keys import KEYS
from fttui_engine.spec.memory.activations import layer_input_bytes
from fttui_engine.spec.memory.advice import Advice, Device, advise, with_changes
from fttui_engine.spec.memory.model_config import read_model_config
from fttui_engine.spec.memory.model_shape import ModelShape, UnknownShapeError
from fttui_engine.spec.memory.peak import LIBRARY_BYTES, Prediction, predict, weights_bytes
from fttui_engine.spec.memory.shape_reading import read_shape
from fttui_engine.spec.memory.words import NO_WAY_OUT, Room, explain
from fttui_engine.spec.memory.workload import DECISIVE_KEYS, Workload, read_workload

if TYPE_CHECKING:
    from fttui_engine.hardware.gpus import Gpu
    from fttui_engine.spec.config import TrainingConfig
    from fttui_engine.spec.resolved import Resolved

# How the origin of a value begins that nobody wrote.
DEFAULT = "default"
# As in train/ranks/strategy.py: the part of a card up to which a whole model on each is chosen.
USABLE_BY_DDP = 0.9
# Of Python and CUDA's libraries in the worker's host memory, beside LIBRARY_BYTES.
CUDA_HOST_BYTES = 1_500_000_000


class RunPrediction(NamedTuple):
    """A prediction together with what it is about."""

    prediction: Prediction
    model_type: str
    strategy: str


class Place(NamedTuple):
    """The GPUs of a run, why there are none, and how many this host shows."""

    gpus: "tuple[Gpu, ...]" = ()
    missing: str | None = None
    visible: int = 0


class MemoryReport(NamedTuple):
    """What a run is going to take, and what there is."""

    prediction: Prediction | None = None
    gpus: "tuple[Gpu, ...]" = ()
    host_bytes: int | None = None
    disk_bytes: int | None = None
    checkpoint_bytes: int | None = None
    fits: bool | None = None
    advice: tuple[Advice, ...] = ()
    explanation: str | None = None
    # Why a value above is null.
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The report as ``fttui check --json`` prints it under ``memory``."""
        predicted = self.prediction
        return {
            "prediction": None
            if predicted is None
            else {
                "predicted_bytes": predicted.predicted_bytes,
                "moment": predicted.moment,
                "terms": predicted.terms,
            },
            "per_gpu": [
                {
                    "index": gpu.index,
                    "predicted_bytes": predicted and predicted.predicted_bytes,
                    "free_bytes": gpu.memory_free_bytes,
                    "terms": {} if predicted is None else predicted.terms,
                }
                for gpu in self.gpus
            ],
            "host_bytes": self.host_bytes,
            "disk_bytes": self.disk_bytes,
            "checkpoint_bytes": self.checkpoint_bytes,
            "fits": self.fits,
            "advice": [advice.to_json() for advice in self.advice],
            "explanation": self.explanation,
            "reason": self.reason,
        }


def report_memory(resolved: "Resolved") -> MemoryReport:
    """The report on a configuration; reads config.json and the GPUs' free memory, and nothing else."""
    if resolved.run.command is not None:
        return MemoryReport(reason="There is no prediction for a program of your own.")
    on_cpu = bool(resolved.values.get("use_cpu")) or resolved.run.gpus == "none"
    place = Place() if on_cpu else _place_of(resolved)
    if reason := _undecided(resolved):
        return MemoryReport(gpus=place.gpus, reason=reason)
    try:
        shape = read_shape(_read_config(resolved))
        values = _settled(resolved, shape, place)
        work = read_workload(values, shape, on_cpu=on_cpu, processes=_processes(resolved, on_cpu))
    except UnknownShapeError as error:
        return MemoryReport(gpus=place.gpus, reason=str(error))
    report = MemoryReport(
        prediction=predict(shape, work),
        gpus=place.gpus,
        host_bytes=_host_bytes(shape, work, has_gpu=bool(place.gpus)),
        disk_bytes=disk_bytes(shape, work, values),
        checkpoint_bytes=checkpoint_bytes(shape, work),
    )
    # Processes on the CPU share its memory; each GPU has its own.
    free = _free_host_bytes() // work.processes if on_cpu else free_bytes_of(place.gpus)
    if free is None:
        return report._replace(
            reason=place.missing or "The driver does not say how much memory of the GPU is free."
        )
    report = _with_verdict(report, shape, work, values, Room(place.gpus, free, place.visible))
    if values is not resolved.values:
        chosen = "run.strategy: auto becomes fsdp here, because no GPU has room for the whole model."
        report = report._replace(explanation=f"{report.explanation} {chosen}")
    return report


def predict_for(config: "TrainingConfig", *, cutoff_len: int, on_cpu: bool, processes: int) -> RunPrediction:
    """What one process is going to take for examples this long; raises UnknownShapeError where nothing is known."""
    values = {**vars(config), "cutoff_len": cutoff_len}
    shape = read_shape(read_model_config(config.model_name_or_path, config.model_revision, config.cache_dir))
    work = read_workload(values, shape, on_cpu=on_cpu, processes=processes)
    return RunPrediction(predict(shape, work), shape.model_type, work.sharing.strategy)


def free_bytes_of(gpus: "tuple[Gpu, ...]") -> int | None:
    """The room on the fullest of these GPUs: a run with several needs it on each."""
    free = [gpu.memory_free_bytes for gpu in gpus]
    known = [size for size in free if size is not None]
    return min(known) if known and len(known) == len(free) else None


def _undecided(resolved: "Resolved") -> str | None:
    """Why nothing can be predicted: errors that leave open what was meant. Wrong data, say, do not change the memory.

    A value that only is wrong here (bf16 on an old GPU) was read, and is predicted for as it stands.
    """
    faults = set()
    for error in resolved.findings.errors:
        if not error.key:
            return "There is no prediction until the configuration can be read."
        is_unread = resolved.origins.get(error.key, DEFAULT).startswith(DEFAULT)
        if error.key not in KEYS or (error.key in DECISIVE_KEYS and is_unread):
            faults.add(error.key)
    if "model_name_or_path" not in resolved.values:
        faults.add("model_name_or_path")
    if not faults:
        return None
    return f"There is no prediction until {', '.join(sorted(faults))} {'is' if len(faults) == 1 else 'are'} right."


def _read_config(resolved: "Resolved") -> dict[str, Any]:
    values = resolved.values
    return read_model_config(values["model_name_or_path"], values["model_revision"], values.get("cache_dir"))


def _settled(resolved: "Resolved", shape: ModelShape, place: Place) -> dict[str, Any]:
    """The values with the strategy that ``auto`` is going to become, by the rule of the worker."""
    values = resolved.values
    count = _processes(resolved, not place.gpus)
    if not place.gpus or count < 2 or resolved.run.strategy != "auto" or values.get("quantization_bit") == 8:
        return values
    totals = [gpu.memory_total_bytes for gpu in place.gpus if gpu.memory_total_bytes]
    alone = predict(shape, read_workload(values, shape, on_cpu=False, processes=count)).predicted_bytes
    if not totals or alone < USABLE_BY_DDP * min(totals):
        return values
    return with_changes(values, {"run.strategy": "fsdp"})


def _processes(resolved: "Resolved", on_cpu: bool) -> int:
    gpus = resolved.run.gpus
    if on_cpu:
        return resolved.run.processes or 1
    if isinstance(gpus, tuple):
        return len(gpus)
    return gpus if isinstance(gpus, int) else 1


def _place_of(resolved: "Resolved") -> Place:
    """The GPUs that the run would be given.

    As at the start of a run: those that were named, else those with most room, one for ``auto``.
    """
    wanted = resolved.run.gpus
    if resolved.run.launcher == "slurm":
        return Place(missing="Slurm chooses the GPU; how much memory it has is not known here.")
    from fttui_engine.hardware.gpus import read_gpus

    report = read_gpus()
    visible = list(report.gpus)
    if (allowed := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = {name.strip() for name in allowed.split(",")}
        visible = [gpu for gpu in visible if str(gpu.index) in names or gpu.uuid in names]
    if isinstance(wanted, tuple):
        chosen = [gpu for gpu in visible if gpu.index in wanted]
    else:
        by_room = sorted(visible, key=lambda gpu: (-(gpu.memory_free_bytes or 0), gpu.index))
        chosen = sorted(by_room[: wanted if isinstance(wanted, int) else 1], key=lambda gpu: gpu.index)
    missing = None if chosen else report.error or "No GPU is visible to this run."
    return Place(tuple(chosen), missing, len(visible))


def _with_verdict(
    report: MemoryReport, shape: ModelShape, work: Workload, values: dict[str, Any], room: Room
) -> MemoryReport:
    prediction = report.prediction
    if prediction is None:
        return report
    capabilities = [gpu.compute_capability for gpu in room.gpus if gpu.compute_capability]
    device = Device(
        room.free_bytes, work.on_cpu, work.processes, min(capabilities, default=None), room.visible_gpus
    )
    advice = advise(shape, values, device)
    fits = prediction.predicted_bytes <= room.free_bytes
    explanation = explain(prediction, work, shape, room)
    most_processes = room.free_bytes * work.processes // prediction.predicted_bytes
    if not fits and work.on_cpu and most_processes:
        explanation += f" There is room for run.processes: {most_processes}."
    elif not fits and not any(entry.fits for entry in advice):
        explanation += " " + NO_WAY_OUT
    return report._replace(fits=fits, advice=tuple(advice), explanation=explanation)


def _host_bytes(shape: ModelShape, work: Workload, *, has_gpu: bool) -> int:
    """Memory of the host that all processes of the run take together."""
    if not has_gpu:
        # Where there is no GPU, the run trains on the CPU.
        return work.processes * predict(shape, work._replace(on_cpu=True)).predicted_bytes
    # Weights that are packed go straight to the GPU; others are read into the host's memory first.
    weights = 0 if work.quantization_bits else weights_bytes(shape, work)
    waiting = shape.layers * layer_input_bytes(shape, work) if work.offloads and work.checkpointing else 0
    return work.processes * (LIBRARY_BYTES + CUDA_HOST_BYTES + weights + waiting)


def _free_host_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().available)
