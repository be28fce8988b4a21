"""Bytes that forward and backward keep, counted from what each operation of a decoder layer saves.

All figures are for the longest batch: every example as long as cutoff_len. Attention without a matrix of scores
(sdpa, FlashAttention) is the rule; with one it is what fills the memory.
"""

from fttui_engine.spec.model_shape import ModelShape
from fttui_engine.spec.workload import Workload

# Norms, softmax and loss are computed in float32 in every precision.
FLOAT32_BYTES = 4


def tokens(work: Workload) -> int:
    """Tokens of one training batch."""
    return work.batch * work.cutoff_len


def layer_input_bytes(shape: ModelShape, work: Workload) -> int:
    """The hidden states in front of one layer: all that gradient checkpointing keeps of it."""
    return tokens(work) * shape.hidden * work.weight_bytes


def saved_bytes(shape: ModelShape, work: Workload) -> int:
    """What one layer keeps for its backward when nothing is recomputed."""
    per_token = (
        _norms(shape, work) + _linear_inputs(shape, work) + _attention(shape, work)
        # gate, its activation, and up; their product is the input of down_proj.
        + 3 * work.compute_bytes * shape.intermediate
    )  # fmt: skip
    return tokens(work) * per_token


def transient_bytes(shape: ModelShape, work: Workload) -> int:
    """What one layer's backward needs for a moment beside what it kept."""
    wide = shape.intermediate
    if work.is_lora and _separate_inputs(work):
        # The gradient of down_proj's input from the packed or frozen weight (2), and from the adapter: 2, cast to 4,
        # and back to 2.
        feed_forward = 10 * wide
    else:
        feed_forward = (3 if work.is_lora else 2) * work.compute_bytes * wide
    scores = _score_bytes(shape, work) if has_scores(shape, work) else 0
    return tokens(work) * (max(feed_forward, scores) + 2 * work.weight_bytes * shape.hidden)


def mask_bytes(shape: ModelShape, work: Workload, batch: int) -> int:
    """The mask for padding, which a batch of one does not need, with its form in numbers for the kernel."""
    if batch == 1 or work.attention == "fa2":
        return 0
    return batch * work.cutoff_len**2 * (1 + work.compute_bytes)


def final_norm_bytes(shape: ModelShape, work: Workload) -> int:
    """What lies between the last layer and the logits."""
    return tokens(work) * shape.hidden * (FLOAT32_BYTES + work.weight_bytes)


def loss_forward_bytes(shape: ModelShape, work: Workload) -> int:
    """Logits at the end of forward: as computed, in float32, and their log-softmax."""
    own = work.compute_bytes if work.compute_bytes < FLOAT32_BYTES else 0
    return tokens(work) * shape.vocabulary * (own + 2 * FLOAT32_BYTES + _extra_logits(shape, work))


def loss_backward_bytes(shape: ModelShape, work: Workload) -> int:
    """Logits at the start of backward: the log-softmax and the gradients in front of and behind it, in float32."""
    return tokens(work) * shape.vocabulary * (3 * FLOAT32_BYTES + _extra_logits(shape, work))


def evaluation_bytes(shape: ModelShape, work: Workload) -> tuple[int, int]:
    """Activations and logits of one evaluation batch, of which nothing is kept for a backward."""
    count = work.evaluation_batch * work.cutoff_len
    layer = (
        shape.hidden * (FLOAT32_BYTES + 2 * work.weight_bytes) + 3 * work.compute_bytes * shape.intermediate
    )
    own = work.compute_bytes if work.compute_bytes < FLOAT32_BYTES else 0
    if has_scores(shape, work):
        layer += _score_bytes(shape, work)
    activations = count * layer + mask_bytes(shape, work, work.evaluation_batch)
    return activations, count * shape.vocabulary * (own + 2 * FLOAT32_BYTES)


def has_scores(shape: ModelShape, work: Workload) -> bool:
    """Whether attention writes out its scores, as Gemma 2 always does, and the CPU where there is dropout."""
    if work.attention == "fa2":
        return False
    return work.attention == "disabled" or shape.caps_scores or (work.on_cpu and shape.attention_dropout > 0)


def _score_bytes(shape: ModelShape, work: Workload) -> int:
    """Scores of one token: softmax in float32, and what is multiplied with the values."""
    own = work.compute_bytes if work.compute_bytes < FLOAT32_BYTES else 0
    dropped = work.compute_bytes + 1 if shape.attention_dropout > 0 else 0
    capped = work.compute_bytes if shape.caps_scores else 0
    return shape.heads * work.cutoff_len * (FLOAT32_BYTES + own + dropped + capped)


def _extra_logits(shape: ModelShape, work: Workload) -> int:
    # Smoothing copies, negates and sums log-probabilities: three more matrices; a cap keeps its tanh.
    smoothing = 3 * FLOAT32_BYTES if work.smooths_labels else 0
    return smoothing + (work.compute_bytes if shape.caps_logits else 0)


def _separate_inputs(work: Workload) -> bool:
    """Whether linears that read the same input each keep a cast copy of it."""
    if work.is_lora:
        return work.adapter_bytes != work.compute_bytes
    return work.weight_bytes != work.compute_bytes


def _norms(shape: ModelShape, work: Workload) -> int:
    trained = 0 if work.is_lora else work.weight_bytes
    of_hidden = shape.norms_per_layer * shape.hidden * (FLOAT32_BYTES + trained)
    of_heads = FLOAT32_BYTES * (shape.query_width + shape.key_width) if shape.has_head_norms else 0
    return of_hidden + of_heads


def _linear_inputs(shape: ModelShape, work: Workload) -> int:
    """Inputs of trained linears; a frozen matrix needs none, and the input of o_proj is what attention kept."""
    separate = _separate_inputs(work)
    # An adapter's input is cast to the adapter's precision, and by autocast back again.
    copy_bytes = work.adapter_bytes if work.is_lora and not work.casts else work.compute_bytes
    total, sources = 0, set[str]()
    for linear in shape.linears:
        if work.is_lora and linear.name not in work.targets:
            continue
        total += work.compute_bytes * work.rank if work.is_lora else 0
        # Dropout draws a mask for each adapter, and so parts their inputs: a byte per value, on the CPU a number.
        mask_bytes = work.adapter_bytes if work.on_cpu else 1
        total += mask_bytes * linear.inputs if work.has_dropout else 0
        is_shared = not (separate and (work.is_lora or linear.source in ("attention", "mlp")))
        if is_shared and not work.has_dropout and (linear.source in sources or linear.source == "heads"):
            continue
        sources.add(linear.source)
        total += copy_bytes * linear.inputs
    return total


def _attention(shape: ModelShape, work: Workload) -> int:
    # With a mask, keys and values are repeated for every query head.
    is_repeated = (work.batch > 1 and work.attention != "fa2") or has_scores(shape, work)
    keys = shape.query_width if is_repeated else shape.key_width
    kept = work.compute_bytes * (2 * shape.query_width + 2 * keys)
    return kept + (_score_bytes(shape, work) if has_scores(shape, work) else FLOAT32_BYTES * shape.heads)
