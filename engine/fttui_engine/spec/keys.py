"""The table of every key that has an effect: type, default, range, choices, help.

One line per key. ``values.py`` turns YAML into a value of the key's kind, ``known_keys.py`` lists the names that
LLaMA-Factory and transformers know but that have no effect here, ``config.py`` is the typed form for the worker.

The table is made of NamedTuples because this module is on the path of ``fttui start``: importing ``dataclasses``
alone costs as much CPU time as starting the interpreter (11 ms).
"""

from typing import Any, Literal, NamedTuple

Kind = Literal[
    "text",
    "path",
    "flag",
    "whole",  # an integer
    "number",
    "choice",
    "texts",  # a list, or a text with commas
    "interval",  # a number of steps, or a fraction of the run below 1
    "amount",  # a number of examples, or a fraction of them below 1
    "gpus",
    "nodes",
    "environment",
    "command",
]


class Key(NamedTuple):
    """One key of the configuration; names of the ``run:`` block are written with dots."""

    name: str
    kind: Kind
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None


# Optimizers of transformers that need nothing but torch, and those that need bitsandbytes.
TORCH_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop")
BITSANDBYTES_OPTIMIZERS = (
    "adamw_8bit",
    "adamw_bnb_8bit",
    "paged_adamw_8bit",
    "paged_adamw_32bit",
    "lion_8bit",
    "lion_32bit",
    "paged_lion_8bit",
    "paged_lion_32bit",
)
SCHEDULERS = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
)

MODEL = (
    Key(
        "model_name_or_path",
        "path",
        None,
        "Model to fine-tune: a folder, a GGUF file, a hub name, or demo:tiny.",
    ),
    Key("model_revision", "text", "main", "Branch, tag or commit of a hub model."),
    Key("cache_dir", "path", None, "Folder for downloaded models; unset means the Hugging Face cache."),
    Key("trust_remote_code", "flag", False, "Run Python code that comes with the model."),
    Key(
        "flash_attn",
        "choice",
        "auto",
        "Attention kernels; auto takes the best that is there.",
        choices=("auto", "disabled", "sdpa", "fa2"),
    ),
)

TUNING = (
    Key(
        "stage",
        "choice",
        "sft",
        "Kind of training: sft learns answers, pt whole texts (continued pre-training).",
        choices=("sft", "pt"),
    ),
    Key("do_train", "flag", True, "Train."),
    Key(
        "finetuning_type",
        "choice",
        "lora",
        "Train an adapter, all weights, or some layers (freeze).",
        choices=("lora", "full", "freeze"),
    ),
    Key("lora_rank", "whole", 8, "Rank of the adapter.", at_least=1, at_most=4096),
    Key("lora_alpha", "whole", None, "Scale of the adapter; unset means 2 x lora_rank.", at_least=1),
    Key("lora_dropout", "number", 0.0, "Dropout in front of the adapter.", at_least=0, below=1),
    Key(
        "lora_target",
        "texts",
        ["all"],
        "Layers that get an adapter; all means every linear layer but the head.",
    ),
    Key(
        "additional_target",
        "texts",
        None,
        "Other layers that are trained in full and saved with the adapter.",
    ),
    Key("use_rslora", "flag", False, "Scale the adapter by alpha / sqrt(rank)."),
    Key(
        "freeze_trainable_layers",
        "whole",
        2,
        "Layers that freeze trains: the last so many, or the first where negative.",
        at_least=-1000,
        at_most=1000,
    ),
    Key(
        "freeze_trainable_modules",
        "texts",
        ["all"],
        "Parts of these layers that freeze trains, such as mlp or self_attn.",
    ),
    Key(
        "freeze_extra_modules",
        "texts",
        None,
        "Modules outside the layers that freeze trains too, such as embed_tokens or norm.",
    ),
    Key(
        "quantization_bit",
        "whole",
        None,
        "Bits of a frozen weight under the adapter (QLoRA); unset means no quantization.",
        choices=("4", "8"),
    ),
    Key("quantization_method", "choice", "bnb", "Who quantizes: bnb is bitsandbytes.", choices=("bnb",)),
    Key(
        "quantization_type",
        "choice",
        "nf4",
        "Data type of 4-bit weights; nf4 suits trained weights better.",
        choices=("nf4", "fp4"),
    ),
    Key(
        "double_quantization",
        "flag",
        True,
        "Quantize the scales of 4-bit weights too; saves 0.37 bits per weight.",
    ),
)

DATA = (
    Key("dataset", "texts", None, "Data: files, names of dataset_info.json, or demo:instructions."),
    Key("eval_dataset", "texts", None, "Data to evaluate on."),
    Key("dataset_dir", "path", "data", "Folder with dataset_info.json and the files that it names."),
    Key("template", "text", None, "Accepted; the chat template of the model is what is used."),
    Key("cutoff_len", "whole", 2048, "Longest example in tokens; longer ones are cut.", at_least=8),
    Key(
        "packing",
        "flag",
        None,
        "Fill examples up to cutoff_len with texts one after the other; unset: in stage pt only.",
    ),
    Key("max_samples", "whole", None, "Use only the first examples of each dataset.", at_least=1),
    Key("val_size", "amount", 0.0, "Part of the data kept for evaluation: a number, or a fraction below 1."),
    Key("train_on_prompt", "flag", False, "Learn the user's turns too."),
    Key("mask_history", "flag", False, "Learn the last answer of a conversation only."),
    Key("default_system", "text", None, "System message for examples that have none."),
)

TRAINING = (
    Key("per_device_train_batch_size", "whole", 8, "Examples per step on one device.", at_least=1),
    Key(
        "gradient_accumulation_steps", "whole", 1, "Batches summed up before the weights change.", at_least=1
    ),
    Key("learning_rate", "number", 5e-5, "Peak learning rate.", above=0),
    Key("num_train_epochs", "number", 3.0, "Passes over the data.", above=0),
    Key(
        "max_steps",
        "whole",
        -1,
        "Stop after this many steps; -1 means num_train_epochs decides.",
        at_least=-1,
    ),
    Key("lr_scheduler_type", "choice", "linear", "Course of the learning rate.", choices=SCHEDULERS),
    Key("warmup_steps", "interval", 0, "Steps in which the learning rate rises.", at_least=0),
    Key("warmup_ratio", "number", 0.0, "The same as a part of the run.", at_least=0, at_most=1),
    Key("optim", "choice", "adamw_torch", "Optimizer.", choices=TORCH_OPTIMIZERS + BITSANDBYTES_OPTIMIZERS),
    Key("weight_decay", "number", 0.0, "Weight decay.", at_least=0),
    Key("adam_beta1", "number", 0.9, "Decay of the mean of gradients.", at_least=0, below=1),
    Key("adam_beta2", "number", 0.999, "Decay of the mean of squared gradients.", at_least=0, below=1),
    Key("adam_epsilon", "number", 1e-8, "Keeps the division in Adam finite.", above=0),
    Key(
        "max_grad_norm",
        "number",
        1.0,
        "Longer gradients are shortened to this norm; 0 means never.",
        at_least=0,
    ),
    Key("label_smoothing_factor", "number", 0.0, "Label smoothing.", at_least=0, below=1),
    Key("neftune_noise_alpha", "number", None, "Noise on the embeddings (NEFTune).", above=0),
    Key("seed", "whole", 42, "Seed of everything random.", at_least=0, at_most=2**32 - 1),
    Key(
        "data_seed", "whole", None, "Seed of the data order; unset means seed.", at_least=0, at_most=2**32 - 1
    ),
    Key("full_determinism", "flag", False, "Use only kernels that give the same bits every time (slower)."),
    Key("dataloader_num_workers", "whole", 0, "Processes that prepare batches.", at_least=0, at_most=256),
)

PRECISION = (
    Key("bf16", "flag", False, "Compute in bfloat16, keep trained weights in float32."),
    Key("fp16", "flag", False, "Compute in float16 with loss scaling, keep trained weights in float32."),
    Key("pure_bf16", "flag", False, "Keep the trained weights in bfloat16 too."),
    Key("tf32", "flag", None, "Let float32 matrix products use TF32."),
    Key(
        "gradient_checkpointing", "flag", True, "Save memory by computing activations twice (20-27 % slower)."
    ),
    Key("use_cpu", "flag", False, "Train on the CPU even where there is a GPU."),
)

SAVING = (
    Key(
        "output_dir", "path", None, "Folder for checkpoints and result; unset means inside the run's folder."
    ),
    Key("overwrite_output_dir", "flag", False, "Allow a folder that holds checkpoints of another run."),
    Key("logging_steps", "interval", 1, "Steps between two points of the loss curve.", above=0),
    Key("save_strategy", "choice", "steps", "When to save.", choices=("no", "steps", "epoch")),
    Key("save_steps", "interval", 500, "Steps between two checkpoints.", above=0),
    Key("save_total_limit", "whole", None, "Checkpoints to keep; at least 2 are kept.", at_least=1),
    Key("eval_strategy", "choice", "no", "When to evaluate.", choices=("no", "steps", "epoch")),
    Key("eval_steps", "interval", None, "Steps between two evaluations; unset means save_steps.", above=0),
    Key("per_device_eval_batch_size", "whole", 8, "Examples per evaluation batch on one device.", at_least=1),
)

RUN = (
    Key("run.name", "text", None, "Name of the run: letters, digits, . _ - (64 at most)."),
    Key("run.gpus", "gpus", "auto", "GPUs: a number of them, a list of indices, auto or none."),
    Key("run.processes", "whole", None, "Processes where there is no GPU.", at_least=1, at_most=1024),
    Key(
        "run.strategy",
        "choice",
        "auto",
        "How several processes share the work.",
        choices=("auto", "ddp", "fsdp", "deepspeed"),
    ),
    Key("run.nodes", "nodes", 1, "Hosts: a number or a list."),
    Key("run.min_nodes", "whole", None, "Go on with as few hosts as this.", at_least=1),
    Key("run.launcher", "choice", "local", "How processes are started.", choices=("local", "ssh", "slurm")),
    Key("run.restart.max", "whole", 0, "Automatic restarts after a failure.", at_least=0, at_most=1000),
    Key("run.restart.backoff_seconds", "number", None, "Pause before an automatic restart.", at_least=0),
    Key("run.restart.on_oom", "text", None, "What to do when GPU memory runs out."),
    Key("run.resume_after_reboot", "flag", False, "Go on by itself after the host came back."),
    Key("run.environment", "environment", None, "Environment variables of the run."),
    Key("run.python", "path", None, "Python that runs the training; unset means the one of fttui."),
    Key("run.command", "command", None, "Run this program instead of our training: a list of words."),
)

# In the order in which an editor shows them.
GROUPS: dict[str, tuple[Key, ...]] = {
    "model": MODEL,
    "tuning": TUNING,
    "data": DATA,
    "training": TRAINING,
    "precision": PRECISION,
    "saving": SAVING,
    "run": RUN,
}

KEYS: dict[str, Key] = {key.name: key for group in GROUPS.values() for key in group}

# Keys that hold a block of keys of their own.
BLOCKS = frozenset({"run", "run.restart"})
