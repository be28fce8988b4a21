"""What is trained, and by which method."""

from fttui_engine.spec.keys.key import Key

TUNING = (
    Key(
        "stage",
        "choice",
        "sft",
        "Kind of training: sft learns answers, pt whole texts (continued pre-training), rm scores answers (a reward "
        "model), dpo prefers the better of two answers, kto good answers to bad ones, ppo has a reward model score the "
        "model's own answers.",
        choices=("sft", "pt", "rm", "dpo", "kto", "ppo"),
    ),
    Key("do_train", "flag", True, "Train."),
    Key(
        "finetuning_type",
        "choice",
        "lora",
        "Train an adapter (lora, oft), all weights, or some layers (freeze).",
        choices=("lora", "full", "freeze", "oft"),
    ),
    Key(
        "adapter_name_or_path",
        "texts",
        None,
        "Adapters to begin with: the last one is trained further, those before it are merged.",
    ),
    Key("adapter_folder", "text", None, "Folder of the adapter inside adapter_name_or_path."),
    Key("create_new_adapter", "flag", False, "Merge all of adapter_name_or_path and train a new adapter."),
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
    Key("use_dora", "flag", False, "Train the length of each weight column apart from its direction (DoRA)."),
    Key(
        "pissa_init", "flag", False, "Begin the adapter with the strongest directions of the weights (PiSSA)."
    ),
    Key(
        "pissa_iter",
        "whole",
        16,
        "Rounds in which PiSSA approaches these directions; -1 decomposes exactly.",
        at_least=-1,
        at_most=1000,
    ),
    Key(
        "loraplus_lr_ratio",
        "number",
        None,
        "Learn matrix B of the adapter so many times as fast as A (LoRA+, such as 16).",
        above=0,
    ),
    Key(
        "loraplus_lr_embedding",
        "number",
        1e-6,
        "Learning rate of adapters on embeddings under LoRA+.",
        above=0,
    ),
    Key("oft_rank", "whole", 0, "Blocks per layer under oft; 0: oft_block_size decides.", at_least=0),
    Key("oft_block_size", "whole", 32, "Width of the rotations that oft learns.", at_least=2),
    Key(
        "oft_target", "texts", ["all"], "Layers that oft rotates; all means every linear layer but the head."
    ),
    Key("module_dropout", "number", 0.0, "Share of the rotations left out under oft.", at_least=0, below=1),
    Key(
        "freeze_trainable_layers",
        "whole",
        2,
        "Layers that freeze trains: the last so many, or the first where negative.",
        at_least=-1000,
        at_most=1000,
    ),
    Key(
        "use_llama_pro",
        "flag",
        False,
        "Train the freeze_trainable_layers layers that LLaMA Pro put between the others, one after each group (freeze, lora).",
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
