"""The settings of our own training as the worker sees them: every key has a type, and every default is filled in."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from fttui_engine.spec.keys import KEYS


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """All keys that have an effect on training; what each means stands in ``keys.py``."""

    model_name_or_path: str
    model_revision: str = "main"
    cache_dir: str | None = None
    trust_remote_code: bool = False
    flash_attn: str = "auto"
    train_from_scratch: bool = False
    rope_scaling: str | None = None
    upcast_layernorm: bool = False
    moe_aux_loss_coef: float | None = None
    add_tokens: tuple[str, ...] | None = None
    add_special_tokens: tuple[str, ...] | None = None
    new_special_tokens_config: str | None = None
    init_special_tokens: str = "noise_init"
    resize_vocab: bool = False

    stage: str = "sft"
    do_train: bool = True
    finetuning_type: str = "lora"
    # The last one is trained further, those before it are merged.
    adapter_name_or_path: tuple[str, ...] | None = None
    adapter_folder: str | None = None
    create_new_adapter: bool = False
    lora_rank: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    lora_target: tuple[str, ...] = ("all",)
    additional_target: tuple[str, ...] | None = None
    use_rslora: bool = False
    use_dora: bool = False
    pissa_init: bool = False
    # -1: an exact decomposition.
    pissa_iter: int = 16
    loraplus_lr_ratio: float | None = None
    loraplus_lr_embedding: float = 1e-6
    oft_rank: int = 0
    oft_block_size: int = 32
    oft_target: tuple[str, ...] = ("all",)
    module_dropout: float = 0.0
    # Negative: the first so many layers.
    freeze_trainable_layers: int = 2
    use_llama_pro: bool = False
    freeze_trainable_modules: tuple[str, ...] = ("all",)
    freeze_extra_modules: tuple[str, ...] | None = None
    quantization_bit: int | None = None
    quantization_method: str = "bnb"
    quantization_type: str = "nf4"
    double_quantization: bool = True

    pref_beta: float = 0.1
    pref_loss: str = "sigmoid"
    pref_ftx: float = 0.0
    pref_bco_weight: float = 0.0
    dpo_label_smoothing: float = 0.0
    simpo_gamma: float = 0.5
    # None: all of a longer answer counts.
    ld_alpha: float | None = None
    kto_chosen_weight: float = 1.0
    kto_rejected_weight: float = 1.0
    # None: the model itself, before the training.
    ref_model: str | None = None
    ref_model_adapters: tuple[str, ...] | None = None
    ref_model_quantization_bit: int | None = None

    # An adapter, unless reward_model_type says full.
    reward_model: str | None = None
    reward_model_type: str = "lora"
    reward_model_adapters: tuple[str, ...] | None = None
    reward_model_quantization_bit: int | None = None
    ppo_buffer_size: int = 1
    ppo_epochs: int = 4
    ppo_score_norm: bool = False
    ppo_target: float = 6.0
    ppo_whiten_rewards: bool = False

    dataset: tuple[str, ...]
    eval_dataset: tuple[str, ...] | None = None
    dataset_dir: str = "data"
    template: str | None = None
    # None: as the template has it.
    enable_thinking: bool | None = None
    cutoff_len: int = 2048
    # None: in stage pt only.
    packing: bool | None = None
    neat_packing: bool = False
    max_samples: int | None = None
    mix_strategy: str = "concat"
    # Numbers, as texts.
    interleave_probs: tuple[str, ...] | None = None
    # Below 1 a fraction, else a number of examples.
    val_size: float = 0.0
    eval_on_each_dataset: bool = False
    streaming: bool = False
    buffer_size: int = 16384
    tokenized_path: str | None = None
    preprocessing_num_workers: int | None = None
    train_on_prompt: bool = False
    mask_history: bool = False
    default_system: str | None = None

    per_device_train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    learning_rate: float = 5e-5
    num_train_epochs: float = 3.0
    max_steps: int = -1
    lr_scheduler_type: str = "linear"
    lr_scheduler_kwargs: dict[str, Any] | None = None
    # For all intervals: below 1 a fraction of the run, else steps. warmup_steps wins over warmup_ratio.
    warmup_steps: float = 0
    warmup_ratio: float = 0.0
    optim: str = "adamw_torch_fused"
    use_muon: bool = False
    optim_args: dict[str, Any] | None = None
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    label_smoothing_factor: float = 0.0
    neftune_noise_alpha: float | None = None
    use_dft_loss: bool = False
    use_eaft_loss: bool = False
    eaft_alpha: float = 1.0
    seed: int = 42
    data_seed: int = 42
    train_sampling_strategy: str = "random"
    disable_shuffling: bool = False
    full_determinism: bool = False
    dataloader_num_workers: int = 0

    bf16: bool = False
    fp16: bool = False
    pure_bf16: bool = False
    tf32: bool | None = None
    gradient_checkpointing: bool = True
    activation_offloading: bool = False
    chunked_loss: str = "auto"
    enable_liger_kernel: bool = False
    torch_compile: bool = False
    torch_compile_backend: str | None = None
    torch_compile_mode: str | None = None
    use_cpu: bool = False

    ddp_timeout: int = 1800
    ddp_bucket_cap_mb: int | None = None
    ddp_find_unused_parameters: bool = False
    fsdp: str = "no"
    deepspeed: str | None = None

    # Empty until the run's folder is known, where the launcher puts it; never empty in the worker.
    output_dir: str = ""
    overwrite_output_dir: bool = False
    logging_steps: float = 1
    save_strategy: str = "steps"
    save_steps: float = 500
    save_total_limit: int | None = None
    eval_strategy: str = "no"
    eval_steps: float = 500
    per_device_eval_batch_size: int = 8
    eval_on_start: bool = False
    compute_accuracy: bool = False
    compute_metrics: str | None = None
    load_best_model_at_end: bool = False
    # Both None unless something depends on the best.
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None
    early_stopping_steps: int | None = None
    report_to: tuple[str, ...] = ("none",)
    logging_dir: str | None = None
    project: str | None = None

    do_predict: bool = False
    predict_with_generate: bool = False
    do_sample: bool = True
    temperature: float = 0.95
    top_p: float = 0.7
    top_k: int = 50
    num_beams: int = 1
    max_new_tokens: int = 1024
    max_length: int = 1024
    repetition_penalty: float = 1.0
    length_penalty: float = 1.0
    skip_special_tokens: bool = True
    infer_dtype: str = "auto"
    export_dir: str | None = None
    export_size: int = 5
    export_device: str = "cpu"

    @property
    def batches_per_step(self) -> int:
        """How many batches of a process make a step; in stage ppo all whose questions are answered before it learns."""
        return self.gradient_accumulation_steps * (self.ppo_buffer_size if self.stage == "ppo" else 1)

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> "TrainingConfig":
        """The settings behind checked values; raises TypeError when model or data are missing."""
        names = {field.name for field in dataclasses.fields(cls)}
        settings: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if name in names and name in KEYS
        }
        return cls(**settings)
