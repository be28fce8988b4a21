"""Examples put into batches."""

from collections.abc import Sequence
from typing import Any

from fttui_engine.train.data.tokenise import IGNORED_LABEL, Example


class Collator:
    """Pads examples to one length, on the right, as training attends to the past only."""

    def __init__(self, pad_token_id: int) -> None:
        self._pad_token_id = pad_token_id

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return input ids, attention mask and labels as tensors."""
        import torch

        # Tensor cores want multiples of 8; on a CPU the few extra columns cost less than 3 %.
        length = -(-max(len(example.input_ids) for example in examples) // 8) * 8

        shape = (len(examples), length)
        input_ids = torch.full(shape, self._pad_token_id, dtype=torch.int64)
        attention_mask = torch.zeros(shape, dtype=torch.int64)
        labels = torch.full(shape, IGNORED_LABEL, dtype=torch.int64)
        for row, example in enumerate(examples):
            end = len(example.input_ids)
            input_ids[row, :end] = torch.from_numpy(example.input_ids)
            attention_mask[row, :end] = 1
            labels[row, :end] = torch.from_numpy(example.labels)
        return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}
