"""New tokens: in the tokenizer before the data is read, and in the model once it is loaded."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError


def add_tokens(tokenizer: Any, config: TrainingConfig, log: Callable[[str], None]) -> None:
    """Teach the tokenizer the words of ``add_tokens`` and ``add_special_tokens``."""
    for key, special in (("add_tokens", False), ("add_special_tokens", True)):
        words = list(getattr(config, key) or ())
        if words:
            count = tokenizer.add_tokens(words, special_tokens=special)
            log(f"tokenizer: {count} of the {len(words)} words of {key} are new")


def learns_vocabulary(config: TrainingConfig) -> bool:
    """Return whether the tokens of the tokenizer decide about the size of the model."""
    return bool(config.resize_vocab or config.add_tokens or config.add_special_tokens)


def fit_vocabulary(model: Any, tokenizer: Any, config: TrainingConfig, log: Callable[[str], None]) -> None:
    """Make room for every token of the tokenizer; new ones begin near the mean of all, as in LLaMA-Factory."""
    import torch

    if not learns_vocabulary(config):
        return
    before = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) <= before:
        log(f"model: its {before} embeddings have room for the {len(tokenizer)} tokens of the tokenizer")
        return
    if config.quantization_bit is not None:
        raise ModelError(
            f"the tokenizer has {len(tokenizer)} tokens and the quantized model {before}",
            "leave quantization_bit out: new tokens have to be learned",
        )
    model.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=64, mean_resizing=False)
    matrices = {id(matrix.weight): matrix.weight for matrix in (
        model.get_input_embeddings(), model.get_output_embeddings()
    )}  # fmt: skip
    generator = torch.Generator().manual_seed(config.seed)
    with torch.no_grad():
        for weight in matrices.values():
            shape = weight[before:].shape
            noise = torch.randn(shape, generator=generator) / math.sqrt(shape[1])
            weight[before:] = (weight[:before].float().mean(0) + noise.to(weight.device)).to(weight.dtype)
    log(f"model: embeddings grown from {before} to {model.get_input_embeddings().weight.shape[0]}")


def make_room_for(model: Any, adapter: str) -> None:
    """Give the model as many embeddings as an adapter was saved with that has learned new tokens."""
    from safetensors import safe_open

    file = Path(adapter, "adapter_model.safetensors")
    if not file.is_file():
        # On a hub; peft says what does not fit.
        return
    layer = vocabulary_layers(model)[0]
    with safe_open(file, "pt") as weights:
        names = [name for name in weights.keys() if f".{layer}." in name]  # noqa: SIM118 - it is no dict
        shapes = [weights.get_slice(name).get_shape() for name in names]
    rows = max((shape[0] for shape in shapes if len(shape) == 2), default=0)
    if rows > model.get_input_embeddings().weight.shape[0]:
        # What the new rows begin with does not matter: the adapter holds all of them.
        model.resize_token_embeddings(rows, mean_resizing=False)


def vocabulary_layers(model: Any) -> tuple[str, ...]:
    """Return the names of the layers that hold the vocabulary, of tied ones the first only."""
    ends = [model.get_input_embeddings()]
    if not model.config.tie_word_embeddings:
        ends.append(model.get_output_embeddings())
    names = {id(module): name.rpartition(".")[2] for name, module in model.named_modules()}
    return tuple(names[id(module)] for module in ends)
