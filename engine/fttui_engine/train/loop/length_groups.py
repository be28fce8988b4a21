"""Batches of examples of about one length: less padding, at the price of an order that is less random."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import trainer_pt_utils

_grouped: Any = trainer_pt_utils.get_length_grouped_indices


class LengthGroups(Sampler[int]):
    """transformers' order by groups of lengths, drawn from seed and epoch alone.

    Theirs is drawn from the global random numbers, which are others after a resume.
    """

    def __init__(self, lengths: Sequence[int], examples_per_step: int, seed: int) -> None:
        self._lengths = lengths
        self._examples_per_step = examples_per_step
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self.epoch)
        order: list[int] = _grouped(self._lengths, self._examples_per_step, generator=generator)
        return iter(order)
