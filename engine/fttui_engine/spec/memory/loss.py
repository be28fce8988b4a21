"""Bytes that the loss of each stage takes, from the last layer on: logits, and what they are turned into."""

from fttui_engine.spec.memory.activations import FLOAT32_BYTES, tokens
from fttui_engine.spec.memory.model_shape import ModelShape
from fttui_engine.spec.memory.workload import Workload

# Stages whose loss compares log-probabilities of whole answers.
COMPARING_STAGES = ("dpo", "kto")


def final_norm_bytes(shape: ModelShape, work: Workload) -> int:
    """What lies between the last layer and the logits."""
    return tokens(work) * shape.hidden * (FLOAT32_BYTES + work.stream_bytes)


def loss_moments(shape: ModelShape, work: Workload) -> list[tuple[str, int]]:
    """What the loss takes at the end of forward, and at the start of backward, which comes last."""
    if work.stage == "rm":
        # The value head alone: hidden states behind its dropout, in float32, and the mask.
        values = tokens(work) * shape.hidden * (2 * FLOAT32_BYTES + 1)
        return [("loss", values), ("loss", values)]
    if work.stage in COMPARING_STAGES:
        return _comparison(shape, work)
    if work.stage == "ppo":
        return _policy(shape, work)
    return [("loss", _forward_bytes(shape, work)), ("loss", _backward_bytes(shape, work))]


def evaluation_logits_bytes(shape: ModelShape, work: Workload) -> int:
    """Logits of one evaluation batch and what the loss makes of them."""
    count = work.evaluation_batch * work.cutoff_len
    if work.stage == "rm":
        return count * shape.hidden * 2 * FLOAT32_BYTES
    if work.chunk_tokens:
        return min(work.chunk_tokens, count) * shape.vocabulary * 3 * FLOAT32_BYTES
    if work.stage in COMPARING_STAGES:
        # Of the model, and of the reference; log-probabilities row by row.
        rows = 2 * FLOAT32_BYTES * work.cutoff_len * shape.vocabulary
        return count * shape.vocabulary * work.compute_bytes + rows
    return count * shape.vocabulary * (_own_bytes(work) + 2 * FLOAT32_BYTES)


def _own_bytes(work: Workload) -> int:
    """Logits as the model computes them, where float32 ones are made of these."""
    return work.compute_bytes if work.compute_bytes < FLOAT32_BYTES else 0


def _forward_bytes(shape: ModelShape, work: Workload) -> int:
    """Logits at the end of forward: as computed, in float32, and their log-softmax."""
    if work.chunk_tokens:
        # The hidden states of learned tokens are copied; no logits are kept.
        return tokens(work) * shape.hidden * work.stream_bytes
    of_one = _own_bytes(work) + 2 * FLOAT32_BYTES + _extra_logits(shape, work)
    return tokens(work) * shape.vocabulary * of_one


def _backward_bytes(shape: ModelShape, work: Workload) -> int:
    """Logits at the start of backward: the log-softmax and the gradients in front of and behind it, in float32."""
    of_one = 3 * FLOAT32_BYTES + _extra_logits(shape, work)
    if work.chunk_tokens:
        chunk = min(work.chunk_tokens, tokens(work)) * shape.vocabulary * of_one
        return chunk + 2 * tokens(work) * shape.hidden * work.stream_bytes
    return tokens(work) * shape.vocabulary * of_one


def _comparison(shape: ModelShape, work: Workload) -> list[tuple[str, int]]:
    """Log-probabilities are taken row by row; the log-softmax of all rows is kept while the reference computes."""
    everything = tokens(work) * shape.vocabulary
    row = work.cutoff_len * shape.vocabulary * FLOAT32_BYTES
    kept = everything * FLOAT32_BYTES
    # In float32, the log-softmax of a row is made of the row itself.
    of_row = row * (2 if _own_bytes(work) else 1)
    compared = kept + everything * work.compute_bytes + of_row
    # Gradients gather row by row while the rows behind them go, and are then put into one.
    backward = max(kept + 3 * row, 2 * everything * work.compute_bytes)
    moment = "comparison with the reference" if work.has_reference else "loss"
    return [(moment, compared), ("loss", backward)]


def answer_logits_bytes(shape: ModelShape, work: Workload) -> int:
    """Logits of the answers alone, and log-probabilities row by row."""
    of_row = work.answer_len * shape.vocabulary * FLOAT32_BYTES * (2 if _own_bytes(work) else 1)
    return work.batch * work.answer_len * shape.vocabulary * work.compute_bytes + of_row


def _policy(shape: ModelShape, work: Workload) -> list[tuple[str, int]]:
    """Log-probabilities of the answers are taken row by row, and the values of all tokens in float32."""
    everything = work.batch * work.answer_len * shape.vocabulary
    row = work.answer_len * shape.vocabulary * FLOAT32_BYTES
    kept = everything * FLOAT32_BYTES
    states = tokens(work) * shape.hidden * FLOAT32_BYTES if _own_bytes(work) else 0
    forward = answer_logits_bytes(shape, work) + kept
    backward = max(kept + 2 * row, 2 * everything * work.compute_bytes)
    return [("loss", forward + states), ("loss", backward + states)]


def _extra_logits(shape: ModelShape, work: Workload) -> int:
    # Smoothing copies, negates and sums log-probabilities: three more matrices; a cap keeps its tanh.
    smoothing = 3 * FLOAT32_BYTES if work.smooths_labels else 0
    return smoothing + (work.compute_bytes if shape.caps_logits else 0)
