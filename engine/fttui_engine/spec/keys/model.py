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
)
