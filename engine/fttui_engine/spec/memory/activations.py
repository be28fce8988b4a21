"""Bytes that forward and backward keep, counted from what each operation of a decoder layer saves.

All figures are for the longest batch: every example as long as cutoff_len. Attention without a matrix of scores
(sdpa, FlashAttention) is the rule; with one it is what fills the memory.
"""

from fttui_engine.spec.memory.model_shape import Linear, ModelShape
from fttui_engine.spec.memory.workload import Workload

# Norms, softmax and loss are computed in float32 in every precision.
FLOAT32_BYTES = 4
# Where a row comes from and goes back to, and its weight.
_ROW_INDICES_BYTES = 3 * 8


def tokens(work: Workload) -> int:
    """Tokens of one training batch."""
    return work.batch * work.cutoff_len


def layer_input_bytes(shape: ModelShape, work: Workload) -> int:
    """The hidden states in front of one layer: all that gradient checkpointing keeps of it."""
    return tokens(work) * shape.hidden * work.stream_bytes


def saved_bytes(shape: ModelShape, work: Workload, *, trained: bool) -> int:
    """What one layer keeps for its backward when nothing is recomputed; ``trained`` where its own weights learn."""
    # gate, its activation, and up; their product is the input of down_proj. Liger computes the activation again.
    wide = (2 if work.has_fused_kernels else 3) * work.compute_bytes * shape.intermediate
    per_token = (
        _norms(shape, work, trained=trained)
        + _linear_inputs(shape, work, trained=trained)
        + _attention(shape, work)
        + wide
        + _experts(shape, work)
    )
    return tokens(work) * per_token + expert_copy_bytes(shape, work) + _rotation_bytes(work)


def _rotation_bytes(work: Workload) -> int:
    """What a layer's rotations are computed from: three powers of each, and what is multiplied of them."""
    return work.trained.rotation_numbers * 14


def expert_copy_bytes(shape: ModelShape, work: Workload) -> int:
    """The experts of a layer with their adapters added, which peft computes as whole matrices and the backward needs."""
    if shape.experts is None or not (work.is_lora and work.trained.trains_experts):
        return 0
    matrices = shape.experts.gate_and_up(shape.hidden) + shape.experts.down(shape.hidden)
    return matrices * work.weight_bytes


def _experts(shape: ModelShape, work: Workload) -> int:
    """What the experts keep of one token: each of those that it takes has a row of its own."""
    experts = shape.experts
    if experts is None:
        return 0
    # Their product knows no autocast: it computes in the precision that the experts are held in.
    size = work.module_bytes if work.method == "full" else work.weight_bytes
    # gate and up, its activation, what goes to the weighted sum; and, where they learn, both inputs.
    row = size * (3 * experts.width + shape.hidden)
    if work.trained.trains_experts:
        row += size * (shape.hidden + experts.width)
    return experts.active * (row + _ROW_INDICES_BYTES) + FLOAT32_BYTES * experts.number


def dora_matrix_bytes(linear: Linear, work: Workload) -> int:
    """What DoRA computes the lengths of a matrix's columns from: the adapter as a whole matrix, and an identity."""
    return work.adapter_bytes * (3 * linear.weights + linear.inputs**2)


def transient_bytes(shape: ModelShape, work: Workload, *, trained: bool) -> int:
    """What one layer's backward needs for a moment beside what it kept."""
    wide = shape.intermediate
    if work.is_lora and _separate_inputs(work, trained=trained):
        # The gradient of down_proj's input from the packed or frozen weight (2), and from the adapter: 2, cast to 4,
        # and back to 2.
        feed_forward = 10 * wide
    else:
        feed_forward = (2 if trained else 3) * work.compute_bytes * wide
    if shape.experts:
        # The gradients of what an expert computes, beside those of its input.
        feed_forward += work.compute_bytes * shape.experts.active * (3 * shape.experts.width + shape.hidden)
    scores = _score_bytes(shape, work) if has_scores(shape, work) else 0
    return tokens(work) * (max(feed_forward, scores) + 2 * work.stream_bytes * shape.hidden)


def mask_bytes(shape: ModelShape, work: Workload, batch: int) -> int:
    """The mask for padding, which a batch of one does not need unless it is packed, with its form for the kernel."""
    if (batch == 1 and not work.packs) or work.attention == "fa2":
        return 0
    return batch * work.cutoff_len**2 * (1 + work.compute_bytes)


def evaluation_bytes(shape: ModelShape, work: Workload) -> int:
    """Activations of one evaluation batch, of which nothing is kept for a backward."""
    count = work.evaluation_batch * work.cutoff_len
    layer = (
        shape.hidden * (FLOAT32_BYTES + 2 * work.stream_bytes) + 3 * work.compute_bytes * shape.intermediate
    )
    if shape.experts:
        layer += work.weight_bytes * shape.experts.active * (3 * shape.experts.width + shape.hidden)
    if has_scores(shape, work):
        layer += _score_bytes(shape, work)
    return count * layer + expert_copy_bytes(shape, work) + mask_bytes(shape, work, work.evaluation_batch)


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


def _separate_inputs(work: Workload, *, trained: bool) -> bool:
    """Whether linears that read the same input each keep a cast copy of it."""
    if work.is_lora:
        return work.adapter_input_bytes != work.compute_bytes
    return trained and work.casts and not work.sharing.divides_weights


def _norms(shape: ModelShape, work: Workload, *, trained: bool) -> int:
    of_heads = FLOAT32_BYTES * (shape.query_width + shape.key_width) if shape.has_head_norms else 0
    if work.has_fused_kernels:
        # Liger's norm keeps its input as it came.
        return shape.norms_per_layer * shape.hidden * work.stream_bytes + of_heads
    own = work.stream_bytes if trained and work.trained.trains_norms else 0
    return shape.norms_per_layer * shape.hidden * (FLOAT32_BYTES + own) + of_heads


def _linear_inputs(shape: ModelShape, work: Workload, *, trained: bool) -> int:
    """Inputs of trained linears; a frozen matrix needs none, and the input of o_proj is what attention kept."""
    if not work.is_lora and not trained:
        return 0
    separate = _separate_inputs(work, trained=trained)
    # An adapter's input is cast to the adapter's precision, and by autocast back again.
    copy_bytes = work.adapter_bytes if work.is_lora and not work.casts else work.compute_bytes
    total, sources = 0, set[str]()
    for linear in shape.linears:
        if linear.name not in work.trained.targets:
            continue
        total += work.compute_bytes * work.rank if work.is_lora else 0
        # DoRA scales what the matrix and what the adapter gives, and learns by how much.
        total += 2 * work.compute_bytes * linear.outputs if work.uses_dora else 0
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
    is_repeated = ((work.batch > 1 or work.packs) and work.attention != "fa2") or has_scores(shape, work)
    keys = shape.query_width if is_repeated else shape.key_width
    kept = work.compute_bytes * (2 * shape.query_width + 2 * keys)
    return kept + (_score_bytes(shape, work) if has_scores(shape, work) else FLOAT32_BYTES * shape.heads)
