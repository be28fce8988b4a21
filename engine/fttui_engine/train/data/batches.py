"""Examples put into batches."""

from collections.abc import Sequence
from typing import Any

import numpy

from fttui_engine.train.data.packing import Packed
from fttui_engine.train.data.tokenise import IGNORED_LABEL, Example


class Collator:
    """Pads examples to one length, on the right, as training attends to the past only."""

    def __init__(self, pad_token_id: int) -> None:
        self._pad_token_id = pad_token_id

    def __call__(self, examples: Sequence[Example | Packed]) -> dict[str, Any]:
        """Return input ids and labels as tensors, with an attention mask, or with positions where they are packed."""
        if isinstance(examples[0], Packed):
            return self._packed(examples)
        return {
            "input_ids": _rows([example.input_ids for example in examples], self._pad_token_id),
            "attention_mask": _rows([numpy.ones(len(example.input_ids)) for example in examples], 0),
            "labels": _rows([example.labels for example in examples], IGNORED_LABEL),
        }

    def _packed(self, examples: Sequence[Any]) -> dict[str, Any]:
        """Without a mask: it would hide from the model that its attention ends where positions begin anew."""
        import torch

        ids = _rows([example.input_ids for example in examples], self._pad_token_id)
        # The padding of a row is one more text.
        positions = torch.arange(ids.shape[1]).repeat(len(examples), 1)
        for row, example in zip(positions, examples, strict=True):
            end = len(example.position_ids)
            row[end:] -= end
            row[:end] = torch.from_numpy(example.position_ids)
        return {
            "input_ids": ids,
            "labels": _rows([example.labels for example in examples], IGNORED_LABEL),
            "token_counts": torch.tensor([len(example.input_ids) for example in examples]),
            **text_positions(positions),
        }


def text_positions(positions: Any) -> dict[str, Any]:
    """Return what tells a model where the texts of a batch begin and end.

    Most kernels take it from the positions; FlashAttention and linear attention from the boundaries.
    """
    import torch

    starts = (positions.reshape(-1) == 0).nonzero().view(-1)
    ends = torch.cat([starts, starts.new_tensor([positions.numel()])]).int()
    longest = int(ends.diff().max())
    return {
        "position_ids": positions,
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": ends,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def _rows(arrays: Sequence[numpy.ndarray], filler: int) -> Any:
    """Return the arrays as the rows of one tensor, filled up on the right."""
    import torch

    # Tensor cores want multiples of 8; on a CPU the few extra columns cost less than 3 %.
    length = -(-max(map(len, arrays)) // 8) * 8
    tensor = torch.full((len(arrays), length), filler, dtype=torch.int64)
    for row, array in zip(tensor, arrays, strict=True):
        row[: len(array)] = torch.from_numpy(array)
    return tensor
