"""How long, how fast, in which precision."""

from fttui_engine.spec.keys.key import Key

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
    "ademamix",
    "ademamix_8bit",
    "paged_ademamix_32bit",
    "paged_ademamix_8bit",
    "rmsprop_bnb",
    "rmsprop_bnb_8bit",
    "rmsprop_bnb_32bit",
)
SCHEDULERS = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "cosine_with_min_lr",
    "cosine_warmup_with_min_lr",
    "warmup_stable_decay",
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
    Key(
        "lr_scheduler_kwargs",
        "settings",
        None,
        "Further settings of the schedule, such as {min_lr: 1e-6} for cosine_with_min_lr.",
    ),
    Key("warmup_steps", "interval", 0, "Steps in which the learning rate rises.", at_least=0),
    Key("warmup_ratio", "number", 0.0, "The same as a part of the run.", at_least=0, at_most=1),
    Key(
        "optim",
        "choice",
        "adamw_torch_fused",
        "Optimizer.",
        choices=TORCH_OPTIMIZERS + BITSANDBYTES_OPTIMIZERS,
    ),
    Key(
        "use_muon",
        "flag",
        False,
        "Train the matrices of the layers with Muon, and what else is trained with AdamW, in place of optim.",
    ),
    Key("optim_args", "settings", None, "Further settings of the optimizer, such as momentum=0.9 for sgd."),
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
    Key("use_dft_loss", "flag", False, "Let a token weigh as much as the model finds it likely (DFT)."),
    Key("use_eaft_loss", "flag", False, "Let a token weigh as much as the model is undecided there (EAFT)."),
    Key("eaft_alpha", "number", 1.0, "Power of that weight; 0 makes all equal.", at_least=0),
    Key("seed", "whole", 42, "Seed of everything random.", at_least=0, at_most=2**32 - 1),
    Key(
        "data_seed", "whole", None, "Seed of the data order; unset means seed.", at_least=0, at_most=2**32 - 1
    ),
    Key(
        "train_sampling_strategy",
        "choice",
        "random",
        "Order of the examples; group_by_length draws batches of about one length, which saves padding.",
        choices=("random", "group_by_length", "sequential"),
    ),
    Key("disable_shuffling", "flag", False, "Take the examples in the order of the data, in every epoch."),
    Key("full_determinism", "flag", False, "Use only kernels that give the same bits every time (slower)."),
    Key("dataloader_num_workers", "whole", 0, "Processes that prepare batches.", at_least=0, at_most=256),
)

PRECISION = (
    Key("bf16", "flag", False, "Compute in bfloat16, keep trained weights in float32."),
    Key("fp16", "flag", False, "Compute in float16 with loss scaling, keep trained weights in float32."),
    Key("pure_bf16", "flag", False, "Keep the trained weights in bfloat16 too."),
    Key("tf32", "flag", None, "Let float32 matrix products use TF32; unset: where all GPUs have it."),
    Key(
        "gradient_checkpointing", "flag", True, "Save memory by computing activations twice (20-27 % slower)."
    ),
    Key(
        "activation_offloading",
        "flag",
        False,
        "Keep the activations between layers in host memory (slower; needs gradient_checkpointing).",
    ),
    Key(
        "chunked_loss",
        "choice",
        "auto",
        "Take the loss some tokens at a time, never holding all logits; auto: where these exceed 0.5 GB.",
        choices=("auto", "true", "false"),
    ),
    Key("enable_liger_kernel", "flag", False, "Use Liger's fused kernels (GPUs from 8.0 on)."),
    Key("torch_compile", "flag", False, "Compile the model; pays on long runs."),
    Key("torch_compile_backend", "text", None, "Compiler of torch_compile; unset means inductor."),
    Key(
        "torch_compile_mode",
        "choice",
        None,
        "How long torch_compile may search.",
        choices=("default", "reduce-overhead", "max-autotune"),
    ),
    Key("use_cpu", "flag", False, "Train on the CPU even where there is a GPU."),
)
