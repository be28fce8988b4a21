"""Predictions of memory in words: why a run does not fit, and what its terms mean."""

from typing import TYPE_CHECKING, Any, NamedTuple

from fttui_engine.spec.memory.model_shape import ModelShape
from fttui_engine.spec.memory.peak import KNOWN_ERROR, Prediction, weights_bytes
from fttui_engine.spec.memory.workload import Workload

if TYPE_CHECKING:
    from fttui_engine.hardware.gpus import Gpu

# What FSDP divides among GPUs; activations and logits belong to the batch of each.
DIVIDED_TERMS = ("weights", "adapters", "optimizer", "gradients", "update", "casts")
# Nothing helped.
NO_WAY_OUT = "No change of the settings makes it fit: take a smaller model or a GPU with more memory."

TERM_WORDS = {
    "weights": "weights of the model",
    "reference": "the model to compare with",
    "reward_model": "what scores answers",
    "kv_cache": "keys and values of the answers",
    "adapters": "adapter",
    "optimizer": "optimizer states",
    "gradients": "gradients",
    "update": "temporaries of the update",
    "activations": "activations",
    "logits": "logits",
    "casts": "16-bit copies of weights",
    "gathered": "blocks gathered from other GPUs",
    "dequantization": "one matrix unpacked",
    "ddp_buckets": "buckets of DDP",
    "cuda_context": "CUDA context and kernels",
    "libraries": "Python and libraries",
    "slack": "fragmentation",
}


class Room(NamedTuple):
    """Where a run is going to be: its GPUs (none on the CPU), the least that is free, and the GPUs there are."""

    gpus: "tuple[Gpu, ...]"
    free_bytes: int
    visible_gpus: int


def gibibytes(size_bytes: int) -> str:
    """An amount of memory as GPUs are sold by it: ``7.4 GiB``."""
    if size_bytes < 1 << 30:
        return f"{size_bytes / (1 << 20):.0f} MiB"
    return f"{size_bytes / (1 << 30):.1f} GiB"


def change_text(changes: dict[str, Any]) -> str:
    """A change as it would stand in the configuration."""
    return ", ".join(f"{key}: {_yaml(value)}" for key, value in changes.items())


def explain(prediction: Prediction, work: Workload, shape: ModelShape, room: Room) -> str:
    """Whether and why a run fits, in a few sentences."""
    predicted, free = prediction.predicted_bytes, room.free_bytes
    place = _place(room.gpus) if room.gpus else "this host"
    if not room.gpus and work.processes > 1:
        place += f" for each of {work.processes} processes"
    verdict = (
        f"{gibibytes(predicted)} predicted at the {prediction.moment}, {gibibytes(free)} free on {place}"
    )
    if predicted <= free:
        if predicted * (1 + KNOWN_ERROR) > free:
            return (
                f"It may just fit: {verdict}. Peaks up to {KNOWN_ERROR:.0%} above the prediction are known."
            )
        return f"It fits: {verdict}."
    parts = [f"It does not fit: {verdict}.", _largest(prediction)]
    if work.quantization_bits is not None:
        parts.append(_about_packing(work, shape, free))
    if prediction.terms.get("logits", 0) > predicted / 5:
        size = work.evaluation_batch if prediction.moment == "evaluation" else work.batch
        parts.append(
            f"The logits are {size} examples x {work.cutoff_len} tokens x {shape.vocabulary} words of the "
            "vocabulary, several times in float32."
        )
    if room.gpus and room.visible_gpus > 1:
        parts.append(_about_several(prediction, work, room))
    return " ".join(parts)


def _place(gpus: "tuple[Gpu, ...]") -> str:
    fullest = min(gpus, key=lambda gpu: gpu.memory_free_bytes or 0)
    text = f"GPU {fullest.index} ({fullest.name})"
    used, total = fullest.memory_used_bytes, fullest.memory_total_bytes
    if used and total and used > total / 20:
        text += f", where {gibibytes(used)} are in use by other processes"
    return text


def _largest(prediction: Prediction) -> str:
    terms = sorted(prediction.terms.items(), key=lambda term: -term[1])[:3]
    return "Most of it: " + ", ".join(f"{TERM_WORDS[name]} {gibibytes(size)}" for name, size in terms) + "."


def _about_packing(work: Workload, shape: ModelShape, free_bytes: int) -> str:
    weights = weights_bytes(shape, work)
    ends = shape.embedding_weights * work.weight_bytes
    bits = work.quantization_bits
    whose = " of the whole model" if work.sharing.divides_weights else ""
    text = (
        f"In {bits} bits the weights{whose} take {gibibytes(weights)}, {gibibytes(ends)} of it embeddings and head, which "
        "are not packed"
    )
    if weights < free_bytes:
        return text + "; bits shrink the weights only, not activations, logits and adapters."
    return text + "; these alone are more than there is."


def _about_several(prediction: Prediction, work: Workload, room: Room) -> str:
    count = max(work.processes, room.visible_gpus)
    if work.sharing.divides_weights:
        kept = sum(prediction.terms.get(name, 0) for name in ("activations", "logits"))
        return (
            f"FSDP divides weights, gradients and optimizer states among {work.processes} GPUs; activations and logits, "
            f"{gibibytes(kept)}, belong to the batch of each and are not divided."
        )
    divided = sum(prediction.terms.get(name, 0) for name in DIVIDED_TERMS)
    rest = prediction.predicted_bytes - divided + divided // count
    if rest <= room.free_bytes:
        remedy = f"dividing the model among {count} (run.strategy: fsdp) would help."
    else:
        remedy = (
            f"dividing the model among {count} (run.strategy: fsdp) would not do by itself, as {gibibytes(rest)} would "
            "stay on each."
        )
    if work.processes > 1:
        return (
            f"{work.processes} GPUs do not add up: DDP gives each of them a whole copy of the model and a batch of its "
            f"own; {remedy}"
        )
    others = room.visible_gpus - 1
    return (
        f"The other {others} GPUs of this host do not add up with it: one process uses one GPU, and with several (DDP) "
        f"each holds a whole copy of the model; {remedy}"
    )


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
