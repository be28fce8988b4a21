"""What is trained, and by which method."""

from fttui_engine.spec.keys.key import Key

TUNING = (
    Key(
        "stage",
        "choice",
        "sft",
        "Kind of training: sft learns answers, pt whole texts (continued pre-training), rm scores answers (a reward "
        "model), dpo prefers the better of two answers, kto good answers to bad ones.",
        choices=("sft", "pt", "rm", "dpo", "kto"),
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
