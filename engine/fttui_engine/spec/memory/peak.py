"""The peak memory of one process, term by term, from a model's sizes and a configuration alone.

A run has a few moments at which memory can be at its highest; each is added up, and the highest one is the answer.
Where the numbers come from, and how far off they are, stands in docs/memory.md.
"""

from typing import NamedTuple

from fttui_engine.spec.memory import activations, loss
from fttui_engine.spec.memory.model_shape import ModelShape
from fttui_engine.spec.memory.optimizer_states import WHOLE_UPDATES, optimizer_bytes
from fttui_engine.spec.memory.workload import Workload

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
    """All weights of the base model as they lie in memory, of all processes together where they divide them."""
    bits = work.quantization_bits
    if bits is None:
        trained = 0 if work.is_lora else work.trained.module_weights
        return (shape.total_weights - trained) * work.weight_bytes + trained * work.module_bytes
    return packed_bytes(shape, work, bits)


def packed_bytes(shape: ModelShape, work: Workload, bits: int) -> int:
    """A model whose matrices are packed in 4 or 8 bits (16 or 32: not at all)."""
    if bits == 4:
        # Half a byte, and one scale for every 64 weights: 4 bytes, or 1 and a second scale for every 256 of them.
        scale = 1 / 64 + 4 / (64 * 256) if work.double_quantization else 4 / 64
        packed = int(shape.linear_weights * (0.5 + scale))
    elif bits == 8:
        packed = shape.linear_weights + shape.layers * sum(4 * linear.outputs for linear in shape.linears)
    else:
        packed = shape.linear_weights * bits // 8
    # Embeddings, head, norms and biases are not packed.
    return packed + (shape.total_weights - shape.linear_weights) * work.compute_bytes


def _lasting(shape: ModelShape, work: Workload) -> Terms:
    """What is there from the second step on, at every moment."""
    share = work.sharing
    weights, adapters = weights_bytes(shape, work), work.trained_bytes if work.is_lora else 0
    reference = 0 if work.reference_bits is None else packed_bytes(shape, work, work.reference_bits)
    optimizer = optimizer_bytes(work)
    if share.is_deepspeed:
        # Its optimizer works on float32 copies of what is trained.
        optimizer += 4 * (work.trained.adapter_weights + work.trained.module_weights)
    if share.divides_weights:
        weights = 0 if share.offloads_weights else share.part(weights)
        adapters, reference = share.part(adapters), share.part(reference)
    if share.divides_optimizer:
        optimizer = 0 if share.offloads_optimizer else share.part(optimizer)
    context = LIBRARY_BYTES if work.on_cpu else CUDA_CONTEXT_BYTES + (NCCL_BYTES if work.processes > 1 else 0)
    return {
        "weights": weights,
        "reference": reference,
        "reward_model": _reward_model_bytes(shape, work),
        "adapters": adapters,
        "optimizer": optimizer,
        "ddp_buckets": work.trained_bytes if share.strategy == "ddp" else 0,
        "libraries" if work.on_cpu else "cuda_context": context,
    }


def _reward_model_bytes(shape: ModelShape, work: Workload) -> int:
    """What scores answers: a model, or an adapter that is taken to be as large as the one that is trained."""
    if work.reward_bits is not None:
        return packed_bytes(shape, work, work.reward_bits)
    return work.trained.adapter_weights * work.adapter_bytes if work.stage == "ppo" else 0


def _moments(shape: ModelShape, work: Workload) -> list[tuple[str, Terms]]:
    moments = [*_loss_moments(shape, work), *_layer_moments(shape, work)]
    is_whole = work.optimizer in WHOLE_UPDATES and not work.on_cpu
    gradients = _gradient_bytes(work)
    divided = work.sharing.divides_optimizer
    update = work.sharing.part(work.trained_bytes) if divided else work.trained_bytes
    moments.append(("optimizer step", {"gradients": gradients, "update": update if is_whole else 0}))
    if work.sharing.divides_weights and work.quantization_bits:
        # Weights are packed on the GPU, the whole model on each, and divided after that.
        whole = weights_bytes(shape, work)
        moments.append(("loading of the weights", {"gathered": whole - work.sharing.part(whole)}))
    if work.answer_len:
        moments += [*_writing(shape, work), _judging(shape, work)]
    if work.evaluation_batch:
        evaluation = {
            "activations": activations.evaluation_bytes(shape, work),
            "logits": loss.evaluation_logits_bytes(shape, work),
            "casts": _cast_bytes(work),
            "dequantization": _dequantization_bytes(shape, work),
            "gathered": gathered_bytes(shape, work, blocks=2),
        }
        moments.append(("evaluation", evaluation))
    return moments


def _writing(shape: ModelShape, work: Workload) -> list[tuple[str, Terms]]:
    """Writing answers: reading the questions first, then keys and values of all tokens, of one layer twice as they grow."""
    of_token = 2 * work.batch * (shape.layers + 1) * shape.key_width * work.compute_bytes
    question_len = work.cutoff_len - work.answer_len
    questions = work._replace(evaluation_batch=work.batch, cutoff_len=question_len)
    read = {
        "kv_cache": question_len * of_token,
        "activations": activations.evaluation_bytes(shape, questions),
        "dequantization": _dequantization_bytes(shape, work),
    }
    written = {
        "kv_cache": work.cutoff_len * of_token,
        "dequantization": _dequantization_bytes(shape, work),
    }
    return [("reading of questions", read), ("writing of answers", written)]


def _judging(shape: ModelShape, work: Workload) -> tuple[str, Terms]:
    """What model and reference make of the answers, of which nothing is kept but a number for each token."""
    terms = {
        "activations": activations.evaluation_bytes(shape, work._replace(evaluation_batch=work.batch)),
        "logits": loss.answer_logits_bytes(shape, work),
        "casts": _cast_bytes(work),
        "dequantization": _dequantization_bytes(shape, work),
    }
    return "judgement of answers", terms


def _gradient_bytes(work: Workload) -> int:
    """The gradients of all that is trained, or a process's part of them."""
    share = work.sharing
    return share.part(work.trained_bytes) if share.divides_gradients else work.trained_bytes


def _kept_bytes(shape: ModelShape, work: Workload) -> int:
    """What all layers keep between forward and backward."""
    layers, trained = work.trained.layers_in_backward, work.trained.trained_layers
    if work.checkpointing:
        # Offloaded, all wait in host memory but the one that is fetched.
        kept = (1 if work.offloads else layers) * activations.layer_input_bytes(shape, work)
    else:
        kept = trained * activations.saved_bytes(shape, work, trained=True)
        kept += (layers - trained) * activations.saved_bytes(shape, work, trained=False)
    return kept + activations.mask_bytes(shape, work, work.batch)


def _loss_moments(shape: ModelShape, work: Workload) -> list[tuple[str, Terms]]:
    """The end of forward, where cast weights still exist, and the start of backward, where logits take most."""
    kept = _kept_bytes(shape, work) + loss.final_norm_bytes(shape, work)
    # Gradients of earlier batches, where several are summed up.
    gradients = _gradient_bytes(work) if work.accumulates else 0
    casts = _cast_bytes(work)
    gathered = gathered_bytes(shape, work, blocks=1)
    *forward, (name, logits) = loss.loss_moments(shape, work)
    always = {"activations": kept, "gathered": gathered}
    moments = [
        (moment, always | {"logits": size, "gradients": gradients, "casts": casts})
        for moment, size in forward
    ]
    # Chunk after chunk adds to the gradient of the head.
    head = shape.vocabulary * shape.hidden * work.module_bytes
    if work.chunk_tokens and work.trained.trains_head and not work.accumulates:
        gradients += work.sharing.part(head) if work.sharing.divides_gradients else head
    # Without checkpointing, the cast weights are kept for the backward.
    kept_casts = 0 if work.checkpointing else casts
    return [*moments, (name, always | {"logits": logits, "gradients": gradients, "casts": kept_casts})]


def _layer_moments(shape: ModelShape, work: Workload) -> list[tuple[str, Terms]]:
    """The backward of the last layer, when all layers still keep theirs, and of the first, when gradients exist."""
    layers = work.trained.layers_in_backward
    if not layers:
        return []
    kept = _kept_bytes(shape, work)
    is_trained = work.trained.trained_layers > 0
    recomputed = activations.transient_bytes(shape, work, trained=is_trained)
    if work.checkpointing:
        # A recomputed layer reads its input from what is kept.
        recomputed += activations.saved_bytes(shape, work, trained=is_trained)
    one = kept // layers
    # The gradient of the head comes first of all, that of the embeddings last, unless they are one.
    head = work.trained.embedding_weights * work.module_bytes
    embeddings = 0 if work.accumulates or shape.tied else head
    casts = _cast_bytes(work)
    cast_of_layer = casts // shape.layers
    share, gradients = work.sharing, _gradient_bytes(work)
    both = {
        "dequantization": _dequantization_bytes(shape, work),
        "gathered": gathered_bytes(shape, work, blocks=2, with_gradient=True),
    }
    last = both | {
        "activations": kept + recomputed,
        "gradients": gradients if work.accumulates else share.part(head) if share.divides_gradients else head,
        "casts": cast_of_layer if work.checkpointing else casts,
    }
    first = both | {
        "activations": one + recomputed,
        "gradients": gradients - (share.part(embeddings) if share.divides_gradients else embeddings),
        "casts": cast_of_layer,
    }
    return [("backward of a layer", last), ("backward of a layer", first)]


def gathered_bytes(shape: ModelShape, work: Workload, *, blocks: int, with_gradient: bool = False) -> int:
    """What a process holds of others' weights for the moment: some blocks, and embeddings and head all the time.

    FSDP2 gathers a block while the one before it computes, and keeps what belongs to no block from the forward to the
    end of the backward; of the block whose backward is done, the gradient is whole until it is summed up and divided.
    """
    if not work.sharing.divides_weights:
        return 0
    width = work.compute_bytes if work.casts else work.weight_bytes
    trained = work.trained
    packed = work.quantization_bits
    matrices = sum(linear.weights for linear in shape.linears)
    # 4-bit weights travel packed.
    block = matrices // 2 if packed == 4 else matrices if packed == 8 else matrices * width
    block += (shape.layer_weights - matrices) * width
    block += trained.adapter_weights * work.adapter_input_bytes // shape.layers
    root = (shape.embedding_weights + shape.hidden) * width
    if work.sharing.keeps_gathered:
        blocks = shape.layers
    in_blocks = trained.adapter_weights if work.is_lora else shape.linear_weights + shape.expert_weights
    gradient = in_blocks // shape.layers * (width + 4) if with_gradient else 0
    return root + blocks * block + gradient


def _cast_bytes(work: Workload) -> int:
    """16-bit copies of trained float32 matrices, which autocast makes once per batch."""
    if not work.casts or work.sharing.divides_weights or work.sharing.is_deepspeed:
        return 0
    return work.compute_bytes * work.trained.product_weights


def _dequantization_bytes(shape: ModelShape, work: Workload) -> int:
    """The largest packed matrix, unpacked for a product; or what DoRA makes of the largest adapted one."""
    largest = max(linear.weights for linear in shape.linears)
    unpacked = 0 if work.quantization_bits is None else work.compute_bytes * largest
    if not work.uses_dora:
        return unpacked
    adapted = [linear for linear in shape.linears if linear.name in work.trained.targets]
    return unpacked + max((activations.dora_matrix_bytes(linear, work) for linear in adapted), default=0)
