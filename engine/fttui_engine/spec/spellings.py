"""Old and foreign spellings: what they are called here, and why.

From LLaMA-Factory up to 0.9.2, transformers up to 4, articles written for them, and the names that PEFT and TRL use.
"""

from fttui_engine.spec.nodes import Scalar

RENAMED_IN_TRANSFORMERS = "transformers calls it so since 4.41"
ONE_NAME = "the same setting under another project's name"
RENAMED = "LLaMA-Factory renamed it"
RENAMED_LATER = "LLaMA-Factory calls it so after 0.9.5"

# old key: (new key, why)
OLD_KEYS: dict[str, tuple[str, str]] = {
    "evaluation_strategy": ("eval_strategy", RENAMED_IN_TRANSFORMERS),
    "per_gpu_train_batch_size": ("per_device_train_batch_size", "the old name of the same number"),
    "per_gpu_eval_batch_size": ("per_device_eval_batch_size", "the old name of the same number"),
    "no_cuda": ("use_cpu", "transformers calls it so since 4.35"),
    "checkpoint_dir": ("adapter_name_or_path", "LLaMA-Factory renamed it in 2023"),
    "cache_path": ("tokenized_path", RENAMED),
    "dpo_beta": ("pref_beta", RENAMED),
    "kto_beta": ("pref_beta", RENAMED),
    "orpo_beta": ("pref_beta", RENAMED),
    "dpo_loss": ("pref_loss", RENAMED),
    "dpo_ftx": ("pref_ftx", RENAMED),
    "kto_ftx": ("pref_ftx", RENAMED),
    "sft_packing": ("packing", RENAMED),
    "dev_ratio": ("val_size", RENAMED),
    "prompt_template": ("template", RENAMED),
    "quant_type": ("quantization_type", RENAMED),
    "num_layer_trainable": ("freeze_trainable_layers", RENAMED),
    "name_module_trainable": ("freeze_trainable_modules", RENAMED),
    "new_special_tokens": ("add_special_tokens", RENAMED),
    "lora_modules_to_save": ("additional_target", ONE_NAME),
    "lora_targets": ("lora_target", ONE_NAME),
    "beta": ("pref_beta", ONE_NAME),
    "loss_type": ("pref_loss", ONE_NAME),
    "max_seq_len": ("cutoff_len", ONE_NAME),
    "sequence_len": ("cutoff_len", ONE_NAME),
    "epochs": ("num_train_epochs", ONE_NAME),
    "num_epochs": ("num_train_epochs", ONE_NAME),
    "batch_size": (
        "per_device_train_batch_size",
        "of each GPU; the whole batch is this x GPUs x accumulation",
    ),
    "micro_batch_size": ("per_device_train_batch_size", ONE_NAME),
    "train_batch_size": (
        "per_device_train_batch_size",
        "of each GPU; the whole batch is this x GPUs x accumulation",
    ),
    "eval_batch_size": ("per_device_eval_batch_size", ONE_NAME),
    "lr": ("learning_rate", ONE_NAME),
    "lr_scheduler": ("lr_scheduler_type", ONE_NAME),
    "optimizer": ("optim", ONE_NAME),
    "gradient_accumulation": ("gradient_accumulation_steps", ONE_NAME),
    "dataset_path": ("dataset", ONE_NAME),
    "train_file": ("dataset", ONE_NAME),
    "validation_file": ("eval_dataset", ONE_NAME),
    "dataset_name": ("dataset", ONE_NAME),
    "model_name": ("model_name_or_path", ONE_NAME),
    "group_by_length": ("train_sampling_strategy", "renamed in transformers 5"),
    "quantization": ("quantization_bit", "LLaMA-Factory's name"),
    "bits": ("quantization_bit", ONE_NAME),
    "bnb_4bit_quant_type": ("quantization_type", ONE_NAME),
    "bnb_4bit_use_double_quant": ("double_quantization", ONE_NAME),
    "method": ("finetuning_type", "LLaMA-Factory's name"),
    "lora_r": ("lora_rank", ONE_NAME),
    "lora_target_modules": ("lora_target", ONE_NAME),
    "target_modules": ("lora_target", ONE_NAME),
    "modules_to_save": ("additional_target", ONE_NAME),
    "max_seq_length": ("cutoff_len", ONE_NAME),
    "model_max_length": ("cutoff_len", ONE_NAME),
    "max_source_length": ("cutoff_len", "LLaMA-Factory counts question and answer together since 2023"),
    "max_grad_norm_clip": ("max_grad_norm", ONE_NAME),
    "validation_split": ("val_size", ONE_NAME),
    "attn_implementation": ("flash_attn", ONE_NAME),
    "attn": ("flash_attn", ONE_NAME),
    "use_liger_kernel": ("enable_liger_kernel", "LLaMA-Factory's name of it"),
    "activation_checkpointing": ("gradient_checkpointing", "transformers 5 has both names for it"),
    "model": ("model_name_or_path", "LLaMA-Factory's name"),
    "base_model": ("model_name_or_path", ONE_NAME),
    "model_path": ("model_name_or_path", ONE_NAME),
    "system_prompt": ("default_system", ONE_NAME),
}

# (current key, old value): (new value, why)
OLD_VALUES: dict[tuple[str, str], tuple[str, str]] = {
    ("fsdp", ""): ("no", "transformers 4 had an empty text for it"),
    ("fsdp", "true"): ("full_shard", "transformers 5 has one way of dividing, which was called so"),
    ("fsdp", "false"): ("no", "transformers 5 turns it on and off"),
    ("fsdp", "full_shard auto_wrap"): ("full_shard", "the model is always divided by its layers"),
    ("fsdp", "shard_grad_op auto_wrap"): ("shard_grad_op", "the model is always divided by its layers"),
    ("quantization_method", "bitsandbytes"): (
        "bnb",
        "LLaMA-Factory renamed it in 0.9.3, and since then quantizes nothing when it reads the old name",
    ),
    ("optim", "adamw_hf"): ("adamw_torch", "transformers dropped its own AdamW"),
    ("optim", "adamw"): ("adamw_torch", "transformers' full name of it"),
    ("flash_attn", "true"): ("auto", "it has names instead of true and false"),
    ("flash_attn", "off"): ("disabled", "LLaMA-Factory renamed it in 0.8"),
    ("flash_attn", "false"): ("disabled", "it has names instead of true and false"),
    ("flash_attn", "eager"): ("disabled", "LLaMA-Factory's name of it"),
    ("flash_attn", "flash_attention_2"): ("fa2", "LLaMA-Factory's name of it"),
    ("train_sampling_strategy", "false"): ("random", "it has names instead of true and false"),
    ("train_sampling_strategy", "true"): ("group_by_length", "it has names instead of true and false"),
    ("init_special_tokens", "vocab_mean_noise"): ("noise_init", RENAMED_LATER),
    ("init_special_tokens", "description"): ("desc_init", RENAMED_LATER),
    ("init_special_tokens", "description_noise"): ("desc_init_w_noise", RENAMED_LATER),
    ("stage", "pretrain"): ("pt", "LLaMA-Factory's name of it"),
    ("stage", "supervised"): ("sft", "LLaMA-Factory's name of it"),
    ("lr_scheduler_type", "cosine_annealing"): ("cosine", "transformers' name of it"),
}

# Switches that say the opposite of the key that stands for them: old key, (new key, why)
OPPOSITES: dict[str, tuple[str, str]] = {
    "disable_gradient_checkpointing": (
        "gradient_checkpointing",
        "one key for both; it is on unless switched off",
    ),
    "assistant_only_loss": ("train_on_prompt", "answers alone are learned unless the prompt is too"),
    "completion_only_loss": ("train_on_prompt", "answers alone are learned unless the prompt is too"),
}

# Switches that stand for one value of another key: (old key, its value) -> (new key, new value, why)
SWITCHES: dict[tuple[str, str], tuple[str, str, str]] = {
    ("adafactor", "true"): ("optim", "adafactor", "optimizers are chosen by name"),
    ("load_in_4bit", "true"): ("quantization_bit", "4", "one key for both numbers of bits"),
    ("load_in_8bit", "true"): ("quantization_bit", "8", "one key for both numbers of bits"),
    ("use_mps_device", "true"): ("use_cpu", "false", "the device is found by itself"),
    **{
        (name, word): (key, "true", "each precision is a switch of its own")
        for name in ("mixed_precision", "compute_type", "precision", "torch_dtype", "dtype")
        for word, key in (
            ("bf16", "bf16"),
            ("bfloat16", "bf16"),
            ("fp16", "fp16"),
            ("float16", "fp16"),
            ("pure_bf16", "pure_bf16"),
        )
    },
}
# Values of switches that ask for what is so anyway.
OFF = frozenset({"false", "no", "off", "none", "null", "0", "", "fp32", "float32", "32", "auto"})

# Stages that are losses of another one: old stage, its loss.
LOSS_STAGES = ("orpo", "simpo")


def says_nothing(name: str, value: Scalar | None) -> str:
    """Why an old switch that is off has nothing to say, or nothing if it has."""
    if value is not None and value.text.lower() in OFF and any(name == switch for switch, _ in SWITCHES):
        return "it asks for what is so anyway"
    return ""


def translate(name: str, value: Scalar | None) -> list[tuple[str, Scalar | None, str]]:
    """What ``name`` and its value are called today, each with the reason; nothing if that is how they are written.

    ``value`` is None when it is a list or a block, which no translation touches.
    """
    if "-" in name:
        plain = name.lstrip("-").replace("-", "_")
        return translate(plain, value) or [(plain, value, "names have underscores, and no dashes in front")]
    word = value.text.lower() if value is not None else ""
    if name == "stage" and word in LOSS_STAGES and value is not None:
        why = f"{word} is one of the losses of stage dpo"
        return [("stage", value._replace(text="dpo"), why), ("pref_loss", value._replace(text=word), why)]
    if name in OPPOSITES and value is not None:
        new_name, why = OPPOSITES[name]
        opposite = {"true": "false", "false": "true", "yes": "false", "no": "true"}.get(word, value.text)
        return [(new_name, value._replace(text=opposite), why)]
    if (name, word) in SWITCHES and value is not None:
        new_name, new_text, why = SWITCHES[name, word]
        return [(new_name, value._replace(text=new_text), why)]
    new_name, why = OLD_KEYS.get(name, (name, ""))
    if value is not None and (new_name, word) in OLD_VALUES:
        new_text, why_value = OLD_VALUES[new_name, word]
        return [(new_name, value._replace(text=new_text), "; ".join(filter(None, (why, why_value))))]
    return [(new_name, value, why)] if why else []
