"""What of a configuration decides about memory: sizes of batches, precisions, what is trained, and who shares it."""

from typing import Any, NamedTuple

from fttui_engine.spec.memory.model_shape import ModelShape, UnknownShapeError
from fttui_engine.spec.memory.sharing import ONE, Sharing, read_sharing
from fttui_engine.spec.memory.trained_weights import (
    Trained,
    adapter_weights,
    all_weights,
    frozen_but_some,
    rotation_weights,
)

# Keys whose value must be right for a prediction to be about the run that was meant.
DECISIVE_KEYS = frozenset(
    {
        "model_name_or_path",
        "model_revision",
        "flash_attn",
        "stage",
        "finetuning_type",
        "lora_rank",
        "lora_target",
        "lora_dropout",
        "use_dora",
        "additional_target",
        "oft_rank",
        "oft_block_size",
        "oft_target",
        "freeze_trainable_layers",
        "freeze_trainable_modules",
        "freeze_extra_modules",
        "quantization_bit",
        "quantization_method",
        "quantization_type",
        "double_quantization",
        "cutoff_len",
        "packing",
        "neat_packing",
        "per_device_train_batch_size",
        "per_device_eval_batch_size",
        "gradient_accumulation_steps",
        "gradient_checkpointing",
        "activation_offloading",
        "chunked_loss",
        "use_dft_loss",
        "use_eaft_loss",
        "use_muon",
        "enable_liger_kernel",
        "optim",
        "label_smoothing_factor",
        "eval_strategy",
        "pref_loss",
        "ref_model",
        "ref_model_quantization_bit",
        "reward_model_type",
        "reward_model_quantization_bit",
        "max_new_tokens",
        "max_length",
        "bf16",
        "fp16",
        "pure_bf16",
        "use_cpu",
        "run.gpus",
        "run.processes",
        "run.strategy",
        "fsdp",
    }
)
# Stages that compare two answers hold both in one batch.
PAIRED_STAGES = ("rm", "dpo")
# Losses of stage dpo that need no reference.
WITHOUT_REFERENCE = ("orpo", "simpo")
# As in train/loop/loss.py: the size of a chunk of logits in float32, and that from which chunks are used by themselves.
CHUNK_BYTES = 2**28
WORTHWHILE_BYTES = 2**29


class Workload(NamedTuple):
    """One training run on one device, as memory sees it."""

    method: str
    stage: str
    trained: Trained
    rank: int
    has_dropout: bool
    uses_dora: bool
    # Bytes per value: weights that are neither packed nor trained, adapters, modules that are trained, the hidden
    # states between layers, and what is computed in.
    weight_bytes: int
    adapter_bytes: int
    module_bytes: int
    stream_bytes: int
    compute_bytes: int
    # Whether every product casts its operands (autocast), because weights are held in another precision.
    casts: bool
    quantization_bits: int | None
    double_quantization: bool
    # Sequences of one forward pass, and how long they are; in stage ppo with the answers that the model writes.
    batch: int
    cutoff_len: int
    answer_len: int
    accumulates: bool
    # 0 where nothing is evaluated.
    evaluation_batch: int
    checkpointing: bool
    # Whether the inputs of layers wait for the backward in host memory.
    offloads: bool
    attention: str
    # Whether several examples lie in one sequence, which takes a mask between them.
    packs: bool
    # Tokens whose logits exist at a time; 0 means all of them.
    chunk_tokens: int
    # Liger's fused norms, activations and rotary embeddings.
    has_fused_kernels: bool
    optimizer: str
    smooths_labels: bool
    # Whether a reference answers every batch too: the model without its adapter, or a second one of so many bits.
    has_reference: bool
    reference_bits: int | None
    # Of a second model that scores answers; None where there is none, or it is another adapter on the same weights.
    reward_bits: int | None
    on_cpu: bool
    sharing: Sharing

    @property
    def is_lora(self) -> bool:
        """Whether adapters are trained, and the model below them is not."""
        return self.method in ("lora", "oft")

    @property
    def processes(self) -> int:
        """The processes of the run."""
        return self.sharing.processes

    @property
    def trained_bytes(self) -> int:
        """The size of all trained weights, which is that of their gradients too."""
        adapters = self.trained.adapter_weights * self.adapter_bytes
        return adapters + self.trained.module_weights * self.module_bytes

    @property
    def adapter_input_bytes(self) -> int:
        """The precision in which adapters take their input: FSDP hands them out in the one that is computed in."""
        return self.compute_bytes if self.sharing.divides_weights and self.casts else self.adapter_bytes


def read_workload(values: dict[str, Any], shape: ModelShape, *, on_cpu: bool, processes: int) -> Workload:
    """The workload behind the values of a configuration; raises UnknownShapeError where nothing is known of it."""
    method, stage = values["finetuning_type"], values["stage"]
    _refuse_what_is_not_known(values)
    sharing = read_sharing(values, processes) if processes > 1 else ONE
    pure, bits = values["pure_bf16"], values.get("quantization_bit")
    is_mixed = (values["bf16"] or values["fp16"]) and not pure
    compute_bytes = 2 if pure or is_mixed else 4
    weight_bytes = 4 if method == "full" and not pure else compute_bytes
    # Weights that are trained stay in float32 beside 16-bit computation.
    trained_bytes = 2 if pure and bits is None else 4
    trained = _trained(values, shape)
    embeds_in_float32 = method == "full" or trained.embedding_weights > 0
    return Workload(
        method=method,
        stage=stage,
        trained=trained,
        rank=values["lora_rank"] if method == "lora" else 0,
        has_dropout=method == "lora" and values["lora_dropout"] > 0,
        uses_dora=method == "lora" and values.get("use_dora", False),
        weight_bytes=weight_bytes,
        adapter_bytes=trained_bytes,
        module_bytes=trained_bytes,
        stream_bytes=trained_bytes if embeds_in_float32 and not sharing.divides_weights else compute_bytes,
        compute_bytes=compute_bytes,
        casts=is_mixed,
        quantization_bits=bits,
        double_quantization=values.get("double_quantization", True),
        batch=values["per_device_train_batch_size"] * _sequences(stage),
        cutoff_len=_sequence_len(values),
        answer_len=_sequence_len(values) - values["cutoff_len"] if stage == "ppo" else 0,
        accumulates=values["gradient_accumulation_steps"] > 1,
        evaluation_batch=_evaluation_batch(values),
        checkpointing=values["gradient_checkpointing"],
        offloads=values.get("activation_offloading", False) and not on_cpu,
        attention=values["flash_attn"],
        packs=stage == "sft" and bool(values.get("packing") or values.get("neat_packing")),
        chunk_tokens=_chunk_tokens(values, shape),
        has_fused_kernels=values.get("enable_liger_kernel", False) and not on_cpu,
        optimizer="muon" if values.get("use_muon") else values["optim"],
        smooths_labels=values["label_smoothing_factor"] > 0,
        has_reference=_has_reference(values),
        reference_bits=_reference_bits(values, 8 * compute_bytes),
        reward_bits=_reward_bits(values, 8 * compute_bytes),
        on_cpu=on_cpu,
        sharing=sharing,
    )


def _refuse_what_is_not_known(values: dict[str, Any]) -> None:
    method, stage, bits = values["finetuning_type"], values["stage"], values.get("quantization_bit")
    if values.get("use_llama_pro"):
        raise UnknownShapeError("Memory is not predicted for use_llama_pro.")
    if method not in ("lora", "oft", "full", "freeze"):
        raise UnknownShapeError(f"Memory is not predicted for finetuning_type: {method} yet.")
    if stage not in ("sft", "pt", "rm", "dpo", "kto", "ppo"):
        raise UnknownShapeError(f"Memory is not predicted for stage: {stage} yet.")
    if bits is not None and method not in ("lora", "oft"):
        raise UnknownShapeError("There is no prediction for packed weights that are trained themselves.")


def _trained(values: dict[str, Any], shape: ModelShape) -> Trained:
    match values["finetuning_type"]:
        case "lora":
            modules = tuple(values.get("additional_target") or ())
            targets = tuple(values["lora_target"])
            return adapter_weights(
                shape, values["lora_rank"], targets, modules, lengths=values.get("use_dora", False)
            )
        case "oft":
            if values.get("additional_target"):
                raise UnknownShapeError("Memory is not predicted for additional_target under oft.")
            targets = tuple(values["oft_target"])
            return rotation_weights(shape, values["oft_rank"], values["oft_block_size"], targets)
        case "freeze":
            parts = tuple(values["freeze_trainable_modules"])
            extra = tuple(values.get("freeze_extra_modules") or ())
            return frozen_but_some(shape, values["freeze_trainable_layers"], parts, extra)
        case _:
            return all_weights(shape, with_head=values["stage"] != "rm")


def _sequences(stage: str) -> int:
    return 2 if stage in PAIRED_STAGES else 1


def _evaluation_batch(values: dict[str, Any]) -> int:
    if values["eval_strategy"] == "no":
        return 0
    return int(values["per_device_eval_batch_size"]) * _sequences(values["stage"])


def _chunk_tokens(values: dict[str, Any], shape: ModelShape) -> int:
    """How many tokens the loss is taken for at a time; 0 where it is taken for all at once."""
    choice = values.get("chunked_loss", "false")
    tokens = values["per_device_train_batch_size"] * values["cutoff_len"]
    is_small = 4 * tokens * shape.vocabulary < WORTHWHILE_BYTES
    if values["stage"] not in ("sft", "pt") or shape.caps_logits:
        return 0
    # Each token's weight is made of all its logits.
    if values["stage"] == "sft" and (values.get("use_dft_loss") or values.get("use_eaft_loss")):
        return 0
    if choice == "false" or (choice == "auto" and is_small):
        return 0
    return max(1, CHUNK_BYTES // (4 * shape.vocabulary))


def _has_reference(values: dict[str, Any]) -> bool:
    stage, loss = values["stage"], values.get("pref_loss", "sigmoid")
    return stage in ("kto", "ppo") or (stage == "dpo" and loss not in WITHOUT_REFERENCE)


def _sequence_len(values: dict[str, Any]) -> int:
    """The longest sequence: an example, or in stage ppo a question with the longest answer to it."""
    question: int = values["cutoff_len"]
    if values["stage"] != "ppo":
        return question
    longest_answer: int = values["max_new_tokens"]
    return question + longest_answer if longest_answer > 0 else max(question + 1, values["max_length"])


def _reward_bits(values: dict[str, Any], own_bits: int) -> int | None:
    """The bits of a weight of a reward model of its own, which is taken to be as large as the model."""
    if values["stage"] != "ppo":
        return None
    if values["reward_model_type"] == "lora":
        # An adapter, read with its model where the weights below it change.
        # Only LoRA is switched in on the same weights.
        return None if values["finetuning_type"] in ("lora", "oft") else own_bits
    return int(values.get("reward_model_quantization_bit") or own_bits)


def _reference_bits(values: dict[str, Any], own_bits: int) -> int | None:
    """The bits of a weight of a second model that the trained one is compared with; None where none is loaded."""
    if not _has_reference(values):
        return None
    if values.get("ref_model"):
        return int(values.get("ref_model_quantization_bit") or own_bits)
    # Without the adapter, the model itself is the reference.
    return None if values["finetuning_type"] == "lora" else own_bits
