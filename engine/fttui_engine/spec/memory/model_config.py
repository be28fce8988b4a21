"""Finding and reading a model's ``config.json`` on this host: nothing is downloaded, no weight is opened."""

import os
from pathlib import Path
from typing import Any

from fttui_engine.spec.memory.model_shape import UnknownShapeError
from fttui_engine.spec.paths import DEMO_MODEL

# The model that `demo:tiny` makes on first use; the tests compare it with what is made.
DEMO_CONFIG = {
    "model_type": "llama",
    "vocab_size": 800,
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "attention_dropout": 0.1,
    "tie_word_embeddings": False,
}
# A config.json has some kilobytes; what is larger is something else.
LARGEST_CONFIG_BYTES = 4_000_000


def read_model_config(model: str, revision: str, cache_dir: str | None) -> dict[str, Any]:
    """The content of a model's ``config.json``, or what its GGUF file says instead.

    Raises UnknownShapeError where it is not on this host.
    """
    if model == DEMO_MODEL:
        return dict(DEMO_CONFIG)
    if model.lower().endswith(".gguf"):
        return _read_gguf(Path(model))
    folder = Path(model) if os.path.isabs(model) else cached_snapshot(model, revision, cache_dir)
    if folder is None:
        cache = f" --cache-dir {cache_dir}" if cache_dir else ""
        raise UnknownShapeError(
            f"{model} is not on this host yet, so its sizes are not known; `hf download {model} config.json{cache}` "
            "fetches the few kilobytes that say them."
        )
    if not (folder / "config.json").is_file() and len(files := sorted(folder.glob("*.gguf"))) == 1:
        return _read_gguf(files[0])
    return _read_json(folder / "config.json")


def hub_cache(cache_dir: str | None) -> Path:
    """The folder in which Hugging Face keeps downloaded models."""
    caches = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"))
    home = Path(os.path.expanduser(os.environ.get("HF_HOME") or caches / "huggingface"))
    return Path(cache_dir or os.environ.get("HF_HUB_CACHE") or home / "hub")


def cached_snapshot(model: str, revision: str, cache_dir: str | None) -> Path | None:
    """The folder of a downloaded model of the hub, named by its commit; None where it is not on this host."""
    folder = hub_cache(cache_dir) / ("models--" + model.replace("/", "--"))
    try:
        # A branch or tag is a file that names its commit.
        commit = (folder / "refs" / revision).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        commit = revision
    snapshot = folder / "snapshots" / commit
    return snapshot if os.path.isfile(snapshot / "config.json") else None


def _read_gguf(path: Path) -> dict[str, Any]:
    # Needed for such files only.
    from fttui_engine.spec.memory.gguf_header import read_gguf_config

    return read_gguf_config(path)


def _read_json(path: Path) -> dict[str, Any]:
    import json

    try:
        if path.stat().st_size > LARGEST_CONFIG_BYTES:
            raise UnknownShapeError(f"{path} is too large to be a model's config.json.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise UnknownShapeError(f"{path} cannot be read, so the model's sizes are not known.") from None
    if not isinstance(content, dict):
        raise UnknownShapeError(f"{path} is not a model's config.json.")
    return content
