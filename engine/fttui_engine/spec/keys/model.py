"""The model that is fine-tuned."""

from fttui_engine.spec.keys.key import Key

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
    Key("train_from_scratch", "flag", False, "Begin with random weights instead of the model's."),
    Key(
        "rope_scaling",
        "choice",
        None,
        "Stretch the positions, so that cutoff_len may exceed what the model was made for.",
        choices=("linear", "dynamic", "yarn", "llama3"),
    ),
    Key("upcast_layernorm", "flag", False, "Keep the weights of frozen norms in float32."),
    Key("moe_aux_loss_coef", "number", None, "Weight of the loss that balances experts.", at_least=0),
    Key("add_tokens", "texts", None, "Words that become a token each."),
    Key("add_special_tokens", "texts", None, "The same for marks, which decoding may skip."),
    Key(
        "new_special_tokens_config",
        "path",
        None,
        "File (YAML) of such marks, each with a description: '<mark>: what it stands for'.",
    ),
    Key(
        "init_special_tokens",
        "choice",
        "noise_init",
        "What the marks of new_special_tokens_config begin as: near the mean of all words, or the mean of their description.",
        choices=("noise_init", "desc_init", "desc_init_w_noise"),
    ),
    Key("resize_vocab", "flag", False, "Make room in the model for every token of the tokenizer."),
)
