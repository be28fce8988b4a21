"""Several conversations in one example, side by side: none sees another, and next to nothing is padding.

Positions begin anew with every conversation. Without an attention mask of its own and without a cache, transformers takes
that for where attention ends, in all of its kernels. Where conversations are short this is what makes training fast.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.tokenise import IGNORED_LABEL, Example
from fttui_engine.train.errors import ModelError

# Logits of one text, alone and beside another: measured 5e-5 in float32, and 10 and more where they see each other.
_TOLERANCE = 0.05


def packs(config: TrainingConfig) -> bool:
    """Return whether conversations share examples."""
    return config.stage == "sft" and bool(config.packing or config.neat_packing)


def pack_length(config: TrainingConfig) -> int:
    """Return how many tokens an example holds at most; one less than cutoff_len, as in LLaMA-Factory."""
    return config.cutoff_len - 1


class Packed(NamedTuple):
    """Some conversations one after the other; arrays of 32-bit integers."""

    input_ids: numpy.ndarray
    labels: numpy.ndarray
    position_ids: numpy.ndarray


class Packs(Sequence[Packed]):
    """Examples of up to ``cutoff_len`` tokens, each put together when it is asked for."""

    def __init__(self, examples: Sequence[Example], cutoff_len: int) -> None:
        self._examples = examples
        self._groups = fill([len(example.input_ids) for example in examples], cutoff_len)

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        parts = [self._examples[index] for index in self._groups[number]]
        labels = numpy.concatenate([part.labels for part in parts])
        starts = numpy.cumsum([0, *(len(part.input_ids) for part in parts[:-1])])
        # Else the last token of one conversation would learn the first one of the next.
        labels[starts] = IGNORED_LABEL
        return Packed(
            numpy.concatenate([part.input_ids for part in parts]),
            labels,
            numpy.concatenate([numpy.arange(len(part.input_ids), dtype=numpy.int32) for part in parts]),
        )


def fill(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return groups of indices whose lengths add up to at most ``capacity``: always the longest that still fits."""
    waiting: dict[int, list[int]] = defaultdict(list)
    for index, length in enumerate(lengths):
        waiting[length].append(index)
    sizes = sorted(waiting)
    groups = []
    while sizes:
        group: list[int] = []
        room = max(capacity, sizes[-1])
        while place := bisect_right(sizes, room):
            size = sizes[place - 1]
            group.append(waiting[size].pop())
            room -= size
            if not waiting[size]:
                del sizes[place - 1]
        groups.append(group)
    return groups


def refuse_if_mixed(model: Any) -> None:
    """Raise ModelError if texts in one example see each other in this model, as far as its first layers tell."""
    import torch

    from fttui_engine.train.data.batches import text_positions

    if model.device.type == "cpu" and model.config._attn_implementation.startswith("flash"):
        # It computes on GPUs only, where the model is not yet; these kernels are told the boundaries outright.
        return
    ids = torch.arange(1, 9, device=model.device).view(1, -1)
    positions = torch.arange(4, device=model.device).repeat(2).view(1, -1)
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    text_config = causal.config.get_text_config()
    was_training, layer_count = model.training, text_config.num_hidden_layers
    model.eval()
    # The kinds of layers alternate every few; all of a large model would take seconds on a CPU.
    text_config.num_hidden_layers = min(8, layer_count)
    try:
        with torch.no_grad():
            packed = causal(input_ids=ids, use_cache=False, **text_positions(positions)).logits[:, 4:]
            alone = causal(input_ids=ids[:, 4:], use_cache=False).logits
    finally:
        text_config.num_hidden_layers = layer_count
        model.train(was_training)
    difference = float((packed - alone).abs().max())
    if not difference <= _TOLERANCE * float(alone.abs().max()):
        raise ModelError(
            f"a {causal.config.model_type} model cannot be trained on packed examples: the texts in one would see "
            f"each other (logits differ by {difference:.2g})",
            "set packing: false and neat_packing: false",
        )
