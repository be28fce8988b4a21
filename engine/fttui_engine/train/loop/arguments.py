"""From our keys to transformers' ``TrainingArguments``: everything that matters is said, nothing left to defaults."""

from typing import Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.models.load import keeps_bf16


def training_arguments(config: TrainingConfig, *, evaluate: bool, evaluation_due: bool) -> Any:
    """Return the arguments of the Trainer; ``evaluation_due`` makes up for an evaluation that a stop cut short."""
    import torch
    from transformers import TrainingArguments

    use_cpu = config.use_cpu or not torch.cuda.is_available()
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
        warmup_steps=config.warmup_steps or config.warmup_ratio,
        optim=config.optim,
        weight_decay=config.weight_decay,
        adam_beta1=config.adam_beta1,
        adam_beta2=config.adam_beta2,
        adam_epsilon=config.adam_epsilon,
        max_grad_norm=config.max_grad_norm,
        label_smoothing_factor=config.label_smoothing_factor,
        neftune_noise_alpha=config.neftune_noise_alpha,
        # Precision. Weights in bfloat16 throughout need no autocast around them.
        bf16=(config.bf16 or config.pure_bf16) and not keeps_bf16(config),
        fp16=config.fp16,
        tf32=None if use_cpu else config.tf32,
        use_cpu=use_cpu,
        activation_checkpointing=config.gradient_checkpointing,
        # The reentrant form needs inputs with gradients, which frozen embeddings under LoRA do not give.
        activation_checkpointing_kwargs={"use_reentrant": False} if config.gradient_checkpointing else None,
        use_cache=False,
        # Randomness and data.
        seed=config.seed,
        data_seed=config.data_seed,
        full_determinism=config.full_determinism,
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
        save_strategy=config.save_strategy,
        save_steps=config.save_steps,
        save_total_limit=None,
        enable_jit_checkpoint=False,
        # What it says, and to whom: only to us.
        report_to="none",
        disable_tqdm=True,
        log_level="warning",
    )
    # With several visible GPUs one process would split every batch over threads (DataParallel): slower, and the
    # batch would be another one than the configuration says.
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments
