"""From our keys to transformers' ``TrainingArguments``: everything that matters is said, nothing left to defaults."""

from typing import Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.models.kernels import Kernels
from fttui_engine.train.models.load import keeps_bf16
from fttui_engine.train.ranks.zero import zero_settings


def follows_the_best(config: TrainingConfig) -> bool:
    """Return whether anything depends on which evaluation was the best."""
    return config.load_best_model_at_end or config.early_stopping_steps is not None


def training_arguments(
    config: TrainingConfig,
    *,
    evaluate: bool,
    evaluation_due: bool,
    kernels: Kernels,
    each_host_saves: bool = False,
) -> Any:
    """Return the arguments of the Trainer; ``evaluation_due`` makes up for an evaluation that a stop cut short."""
    import torch
    from transformers import TrainingArguments

    use_cpu = config.use_cpu or not torch.cuda.is_available()
    checkpointing = _checkpointing(config, TrainingArguments, use_cpu=use_cpu)
    arguments = TrainingArguments(
        output_dir=config.output_dir,
        # How much and how long.
        per_device_train_batch_size=config.per_device_train_batch_size,
        per_device_eval_batch_size=config.per_device_eval_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        num_train_epochs=config.num_train_epochs,
        max_steps=config.max_steps,
        # Optimizer and schedule. transformers 5 takes a share of the run as a warmup below 1.
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        lr_scheduler_kwargs=config.lr_scheduler_kwargs,
        warmup_steps=config.warmup_steps or config.warmup_ratio,
        optim=config.optim,
        optim_args=",".join(f"{name}={value}" for name, value in (config.optim_args or {}).items()) or None,
        weight_decay=config.weight_decay,
        adam_beta1=config.adam_beta1,
        adam_beta2=config.adam_beta2,
        adam_epsilon=config.adam_epsilon,
        max_grad_norm=config.max_grad_norm,
        # The chunked loss smooths by itself.
        label_smoothing_factor=0.0 if kernels.chunked_loss else config.label_smoothing_factor,
        neftune_noise_alpha=config.neftune_noise_alpha,
        # Precision. Weights in bfloat16 throughout need no autocast around them.
        bf16=(config.bf16 or config.pure_bf16) and not keeps_bf16(config),
        fp16=config.fp16,
        tf32=kernels.tf32,
        use_liger_kernel=kernels.liger,
        torch_compile=config.torch_compile,
        torch_compile_backend=config.torch_compile_backend,
        torch_compile_mode=config.torch_compile_mode,
        use_cpu=use_cpu,
        **(checkpointing if config.fsdp == "no" else {}),
        use_cache=False,
        # Randomness and data.
        seed=config.seed,
        data_seed=config.data_seed,
        full_determinism=config.full_determinism,
        # The order by groups of lengths is our own: theirs would draw the examples of evaluations too.
        train_sampling_strategy="sequential"
        if config.disable_shuffling or config.train_sampling_strategy == "sequential"
        else "random",
        dataloader_num_workers=config.dataloader_num_workers,
        dataloader_pin_memory=not use_cpu,
        remove_unused_columns=False,
        label_names=["labels"],
        # When to log, evaluate and save. Pruning is ours: transformers deletes before anything is synced.
        logging_steps=config.logging_steps,
        logging_nan_inf_filter=False,
        eval_strategy=config.eval_strategy if evaluate else "no",
        eval_steps=config.eval_steps,
        eval_on_start=evaluate and evaluation_due,
        metric_for_best_model=config.metric_for_best_model if follows_the_best(config) else None,
        greater_is_better=config.greater_is_better if follows_the_best(config) else None,
        save_strategy=config.save_strategy,
        save_steps=config.save_steps,
        save_total_limit=None,
        save_on_each_node=each_host_saves,
        enable_jit_checkpoint=False,
        # Several processes. A token weighs the same in each, so that they learn what one process would.
        average_tokens_across_devices=True,
        ddp_timeout=config.ddp_timeout,
        ddp_bucket_cap_mb=config.ddp_bucket_cap_mb,
        ddp_find_unused_parameters=config.ddp_find_unused_parameters,
        ddp_broadcast_buffers=False,
        # Their types still know the old form only, which is deprecated.
        fsdp=config.fsdp != "no" or None,  # type: ignore[arg-type]
        fsdp_config=_fsdp_config(config) if config.fsdp != "no" else None,
        deepspeed=zero_settings(config),
        # What it says, and to whom: only to us.
        report_to="none",
        disable_tqdm=True,
        log_level="warning",
    )
    if config.fsdp != "no":
        # Set afterwards, or it would advise every user of FSDP to take accelerate's own form, which draws other numbers
        # for dropout when it computes again (preserve_rng_state=False).
        for name, value in checkpointing.items():
            setattr(arguments, name, value)
    # With several visible GPUs one process would split every batch over threads (DataParallel): slower, and the
    # batch would be another one than the configuration says.
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


def _fsdp_config(config: TrainingConfig) -> dict[str, Any]:
    return {
        "version": 2,
        # shard_grad_op keeps the gathered weights between forward and backward: faster, and no memory is saved on them.
        "reshard_after_forward": config.fsdp == "full_shard",
        # Every rank has loaded the same weights; packed ones could not be sent to the others.
        "cpu_ram_efficient_loading": False,
    }


def _checkpointing(config: TrainingConfig, arguments: Any, *, use_cpu: bool) -> dict[str, Any]:
    """Return the arguments for it by the names that this version of transformers has."""
    name = "activation" if hasattr(arguments, "activation_checkpointing") else "gradient"
    if not config.gradient_checkpointing:
        return {f"{name}_checkpointing": False}
    # The reentrant form needs inputs with gradients, which frozen embeddings under LoRA do not give.
    options: dict[str, Any] = {"use_reentrant": False}
    if config.activation_offloading and not use_cpu:
        options["offload"] = True
    return {f"{name}_checkpointing": True, f"{name}_checkpointing_kwargs": options}
