"""What of a configuration decides about memory: sizes of batches, precisions, and what is trained."""

from typing import Any, NamedTuple

from fttui_engine.spec.model_shape import ModelShape, UnknownShapeError, trained_weights

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
        "additional_target",
        "quantization_bit",
        "quantization_method",
        "quantization_type",
        "double_quantization",
        "cutoff_len",
        "per_device_train_batch_size",
        "per_device_eval_batch_size",
        "gradient_accumulation_steps",
        "gradient_checkpointing",
        "optim",
        "label_smoothing_factor",
        "eval_strategy",
        "bf16",
        "fp16",
        "pure_bf16",
        "use_cpu",
        "run.gpus",
        "run.processes",
        "run.strategy",
    }
)


class Workload(NamedTuple):
    """One training run on one device, as memory sees it."""

    is_lora: bool
    # Weights of the adapters; of modules (or of the whole model) that are trained; of embeddings among the latter.
    adapter_weights: int
    module_weights: int
    embedding_weights: int
    targets: frozenset[str]
    rank: int
    has_dropout: bool
    # Bytes per value: weights that are not packed, adapters, and what is computed in.
    weight_bytes: int
    adapter_bytes: int
    compute_bytes: int
    # Whether every product casts its operands (autocast), because weights are held in another precision.
    casts: bool
    quantization_bits: int | None
    double_quantization: bool
    batch: int
    cutoff_len: int
    accumulates: bool
    # 0 where nothing is evaluated.
    evaluation_batch: int
    checkpointing: bool
    attention: str
    optimizer: str
    smooths_labels: bool
    on_cpu: bool
    # More than one means DDP, which gives every process a whole copy.
    processes: int

    @property
    def trained_bytes(self) -> int:
        """The size of all trained weights, which is that of their gradients too."""
        return self.adapter_weights * self.adapter_bytes + self.module_weights * self.weight_bytes


def read_workload(values: dict[str, Any], shape: ModelShape, *, on_cpu: bool, processes: int) -> Workload:
    """The workload behind the values of a configuration; raises UnknownShapeError where nothing is known of it."""
    method, stage = values["finetuning_type"], values["stage"]
    if method not in ("lora", "full"):
        raise UnknownShapeError(f"Memory is not predicted for finetuning_type: {method} yet.")
    if stage not in ("sft", "pt"):
        raise UnknownShapeError(f"Memory is not predicted for stage: {stage} yet.")
    strategy = values.get("run", {}).get("strategy", "auto")
    if strategy not in ("auto", "ddp"):
        raise UnknownShapeError(f"Memory is not predicted for run.strategy: {strategy} yet.")
    pure, bits = values["pure_bf16"], values.get("quantization_bit")
    if bits is not None and method != "lora":
        raise UnknownShapeError("There is no prediction for packed weights that are trained themselves.")
    is_mixed = (values["bf16"] or values["fp16"]) and not pure
    compute_bytes = 2 if pure or is_mixed else 4
    is_lora = method == "lora"
    rank = values["lora_rank"]
    if is_lora:
        modules = tuple(values.get("additional_target") or ())
        trained = trained_weights(shape, rank, tuple(values["lora_target"]), modules)
        adapter_weights, module_weights = trained.adapter_weights, trained.module_weights
        embedding_weights, targets = trained.embedding_weights, trained.targets
    else:
        adapter_weights, module_weights = 0, shape.total_weights
        embedding_weights, targets = shape.vocabulary * shape.hidden, frozenset[str]()
    return Workload(
        is_lora=is_lora,
        adapter_weights=adapter_weights,
        module_weights=module_weights,
        embedding_weights=embedding_weights,
        targets=targets,
        rank=rank,
        has_dropout=is_lora and values["lora_dropout"] > 0,
        # Weights that are trained stay in float32 beside 16-bit computation; frozen ones do not.
        weight_bytes=compute_bytes if is_lora or pure else 4,
        adapter_bytes=2 if pure and bits is None else 4,
        compute_bytes=compute_bytes,
        casts=is_mixed,
        quantization_bits=bits,
        double_quantization=values.get("double_quantization", True),
        batch=values["per_device_train_batch_size"],
        cutoff_len=values["cutoff_len"],
        accumulates=values["gradient_accumulation_steps"] > 1,
        evaluation_batch=0 if values["eval_strategy"] == "no" else values["per_device_eval_batch_size"],
        checkpointing=values["gradient_checkpointing"],
        attention=values["flash_attn"],
        optimizer=values["optim"],
        smooths_labels=values["label_smoothing_factor"] > 0,
        on_cpu=on_cpu,
        processes=processes,
    )
