"""The peak memory of one process, term by term, from a model's sizes and a configuration alone.

A run has a few moments at which memory can be at its highest; each is added up, and the highest one is the answer.
Where the numbers come from, and how far off they are, stands in docs/memory.md.
"""

from typing import NamedTuple

from fttui_engine.spec import activations
from fttui_engine.spec.model_shape import ModelShape
from fttui_engine.spec.workload import Workload

# What CUDA, cuBLAS and the kernels take before the first tensor: 0.3 to 0.6 GB by card and driver.
CUDA_CONTEXT_BYTES = 500_000_000
# NCCL's buffers where several processes work together: 0.2 to 0.5 GB.
NCCL_BYTES = 300_000_000
# Python, torch, transformers and peft in the worker, measured as resident memory.
LIBRARY_BYTES = 400_000_000
# What the allocator cannot hand out again, as a part of all that comes and goes; weights come once and stay.
SLACK = 0.05
# The farthest that a published measurement lies above the prediction; closer calls are named as such.
KNOWN_ERROR = 0.2
# Bytes per optimizer state beside its own: scales of blocks of 256 states in 8 bits.
SCALE_BYTES = 4 / 256

# Optimizers: number of states per weight, and bytes of each; None means those of the weight.
STATES: dict[str, tuple[int, float | None]] = {
    "adamw_torch": (2, None),
    "adamw_torch_fused": (2, None),
    "adagrad": (1, None),
    "rmsprop": (1, None),
    "sgd": (0, None),
    # Keeps sums of rows and columns only: a thousandth of the weights.
    "adafactor": (0, None),
    "adamw_8bit": (2, 1 + SCALE_BYTES),
    "adamw_bnb_8bit": (2, 1 + SCALE_BYTES),
    "paged_adamw_8bit": (2, 1 + SCALE_BYTES),
    "paged_adamw_32bit": (2, 4),
    "lion_8bit": (1, 1 + SCALE_BYTES),
    "paged_lion_8bit": (1, 1 + SCALE_BYTES),
    "lion_32bit": (1, 4),
    "paged_lion_32bit": (1, 4),
}
# These update all weights at once on a GPU, and need one more value for each meanwhile.
WHOLE_UPDATES = frozenset({"adamw_torch", "adagrad", "rmsprop"})

Terms = dict[str, int]


class Prediction(NamedTuple):
    """The highest moment of a run, and what memory is taken by then."""

    moment: str
    terms: Terms

    @property
    def predicted_bytes(self) -> int:
        """The sum of the terms."""
        return sum(self.terms.values())


def predict(shape: ModelShape, work: Workload) -> Prediction:
    """The peak of one process of this workload."""
    lasting = _lasting(shape, work)
    moments = (_at(moment, lasting, passing) for moment, passing in _moments(shape, work))
    return max(moments, key=lambda prediction: prediction.predicted_bytes)


def _at(moment: str, lasting: Terms, passing: Terms) -> Prediction:
    terms = lasting | passing | {"slack": int(SLACK * sum(passing.values()))}
    return Prediction(moment, {name: size for name, size in terms.items() if size})


def weights_bytes(shape: ModelShape, work: Workload) -> int:
    """All weights of the base model as they lie in memory."""
    bits = work.quantization_bits
    if bits is None:
        return shape.total_weights * work.weight_bytes
    if bits == 4:
        # Half a byte, and one scale for every 64 weights: 4 bytes, or 1 and a second scale for every 256 of them.
        scale = 1 / 64 + 4 / (64 * 256) if work.double_quantization else 4 / 64
        packed = int(shape.linear_weights * (0.5 + scale))
    else:
        packed = shape.linear_weights + shape.layers * sum(4 * linear.outputs for linear in shape.linears)
    # Embeddings, head, norms and biases are not packed.
    return packed + (shape.total_weights - shape.linear_weights) * work.weight_bytes


def optimizer_bytes(work: Workload) -> int:
    """The states of all trained weights."""
    count, size = STATES[work.optimizer]
    if size is None:
        return count * work.trained_bytes
    trained = work.adapter_weights + work.module_weights
    # transformers leaves the states of embeddings at 32 bits beside 8-bit ones.
    whole = work.embedding_weights if size < 4 else 0
    return int(count * (size * (trained - whole) + 4 * whole))


def _lasting(shape: ModelShape, work: Workload) -> Terms:
    """What is there from the second step on, at every moment."""
    several = work.processes > 1
    return {
        "weights": weights_bytes(shape, work),
        "adapters": work.trained_bytes if work.is_lora else 0,
        "optimizer": optimizer_bytes(work),
        "ddp_buckets": work.trained_bytes if several else 0,
        "libraries" if work.on_cpu else "cuda_context": (
            LIBRARY_BYTES if work.on_cpu else CUDA_CONTEXT_BYTES + (NCCL_BYTES if several else 0)
        ),
    }


def _moments(shape: ModelShape, work: Workload) -> list[tuple[str, Terms]]:
    moments = [*_loss_moments(shape, work), *_layer_moments(shape, work)]
    is_whole = work.optimizer in WHOLE_UPDATES and not work.on_cpu
    update = {"gradients": work.trained_bytes, "update": work.trained_bytes if is_whole else 0}
    moments.append(("optimizer step", update))
    if work.evaluation_batch:
        kept, logits = activations.evaluation_bytes(shape, work)
        evaluation = {"activations": kept, "logits": logits, "casts": _cast_bytes(shape, work)}
        moments.append(("evaluation", evaluation | {"dequantization": _dequantization_bytes(shape, work)}))
    return moments


def _kept_bytes(shape: ModelShape, work: Workload) -> int:
    """What all layers keep between forward and backward."""
    per_layer = (
        activations.layer_input_bytes(shape, work)
        if work.checkpointing
        else activations.saved_bytes(shape, work)
    )
    return shape.layers * per_layer + activations.mask_bytes(shape, work, work.batch)


def _loss_moments(shape: ModelShape, work: Workload) -> list[tuple[str, Terms]]:
    """The end of forward, where cast weights still exist, and the start of backward, where logits take most."""
    kept = _kept_bytes(shape, work) + activations.final_norm_bytes(shape, work)
    # Gradients of earlier batches, where several are summed up.
    gradients = work.trained_bytes if work.accumulates else 0
    casts = _cast_bytes(shape, work)
    forward = {
        "activations": kept,
        "logits": activations.loss_forward_bytes(shape, work),
        "gradients": gradients,
        "casts": casts,
    }
    backward = {
        "activations": kept,
        "logits": activations.loss_backward_bytes(shape, work),
        "gradients": gradients,
        # Without checkpointing, the cast weights are kept for the backward.
        "casts": 0 if work.checkpointing else casts,
    }
    return [("loss", forward), ("loss", backward)]


def _layer_moments(shape: ModelShape, work: Workload) -> list[tuple[str, Terms]]:
    """The backward of the last layer, when all layers still keep theirs, and of the first, when gradients exist."""
    kept = _kept_bytes(shape, work)
    recomputed = activations.transient_bytes(shape, work)
    if work.checkpointing:
        # A recomputed layer reads its input from what is kept.
        recomputed += activations.saved_bytes(shape, work)
    one = kept // shape.layers
    # The gradient of the head comes first of all, that of the embeddings last, unless they are one.
    head = work.embedding_weights * work.weight_bytes
    embeddings = 0 if work.accumulates or shape.tied else head
    casts = _cast_bytes(shape, work)
    cast_of_layer = casts // shape.layers
    dequantization = _dequantization_bytes(shape, work)
    last = {
        "activations": kept + recomputed,
        "gradients": work.trained_bytes if work.accumulates else head,
        "casts": cast_of_layer if work.checkpointing else casts,
        "dequantization": dequantization,
    }
    first = {
        "activations": one + recomputed,
        "gradients": work.trained_bytes - embeddings,
        "casts": cast_of_layer,
        "dequantization": dequantization,
    }
    return [("backward of a layer", last), ("backward of a layer", first)]


def _cast_bytes(shape: ModelShape, work: Workload) -> int:
    """16-bit copies of trained float32 matrices, which autocast makes once per batch."""
    if work.is_lora or not work.casts:
        return 0
    head = shape.vocabulary * shape.hidden
    return work.compute_bytes * (shape.linear_weights + head)


def _dequantization_bytes(shape: ModelShape, work: Workload) -> int:
    """The largest packed matrix, unpacked for a product."""
    if work.quantization_bits is None:
        return 0
    return work.compute_bytes * max(linear.weights for linear in shape.linears)
