"""New tokens: in the tokenizer before the data is read, and in the model once it is loaded."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.spec.described_tokens import read_described_tokens
from fttui_engine.train.errors import ModelError


def add_tokens(tokenizer: Any, config: TrainingConfig, log: Callable[[str], None]) -> None:
    """Teach the tokenizer the words of ``add_tokens`` and ``add_special_tokens``."""
    described = _described(config)
    known = [mark for mark in described if mark in tokenizer.get_vocab()]
    if known and config.init_special_tokens != "noise_init":
        raise ModelError(
            f"{config.new_special_tokens_config} describes {known[0]}, which is a token of the model already",
            "take it out of the file, so that what the model has learned of it is not overwritten",
        )
    # As in LLaMA-Factory, the file's marks take the place of add_special_tokens.
    marks_key = "new_special_tokens_config" if described else "add_special_tokens"
    for key, words, special in (
        ("add_tokens", config.add_tokens, False),
        (marks_key, described or config.add_special_tokens, True),
    ):
        if words:
            count = tokenizer.add_tokens(list(words), special_tokens=special)
            log(f"tokenizer: {count} of the {len(words)} words of {key} are new")


def _described(config: TrainingConfig) -> dict[str, str]:
    if config.new_special_tokens_config is None:
        return {}
    return read_described_tokens(config.new_special_tokens_config)


def learns_vocabulary(config: TrainingConfig) -> bool:
    """Return whether the tokens of the tokenizer decide about the size of the model."""
    return bool(
        config.resize_vocab
        or config.add_tokens
        or config.add_special_tokens
        or config.new_special_tokens_config
    )


def fit_vocabulary(model: Any, tokenizer: Any, config: TrainingConfig, log: Callable[[str], None]) -> None:
    """Make room for every token of the tokenizer; new ones begin near the mean of all, as in LLaMA-Factory."""
    import torch

    if not learns_vocabulary(config):
        return
    before = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) <= before:
        log(f"model: its {before} embeddings have room for the {len(tokenizer)} tokens of the tokenizer")
        _begin_as_described(model, tokenizer, config, log)
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
    _begin_as_described(model, tokenizer, config, log)


def _begin_as_described(
    model: Any, tokenizer: Any, config: TrainingConfig, log: Callable[[str], None]
) -> None:
    """Give each new mark the mean of the words that describe it, in both matrices, with noise where that is asked for."""
    import torch

    if config.init_special_tokens == "noise_init":
        return
    described = _described(config)
    marks = {mark: tokenizer.convert_tokens_to_ids(mark) for mark in described}
    generator = torch.Generator().manual_seed(config.seed)
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    matrices = {id(end.weight): end.weight for end in ends}.values()
    for mark, words in described.items():
        ids = [
            each for each in tokenizer.encode(words, add_special_tokens=False) if each not in marks.values()
        ]
        if not ids:
            log(f"warning: nothing describes {mark}, so it begins near the mean of all words")
            continue
        for weight in matrices:
            with torch.no_grad():
                row = weight[ids].float().mean(0)
                if config.init_special_tokens == "desc_init_w_noise":
                    noise = torch.randn(row.shape, generator=generator) / math.sqrt(len(row))
                    row = row + noise.to(row.device)
                weight[marks[mark]] = row.to(weight.dtype)


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
