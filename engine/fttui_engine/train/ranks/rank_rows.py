"""Batches of another size on each rank, whose rows together are those of one process, in its order."""

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from torch.utils.data import BatchSampler


class RankRows(BatchSampler):
    """The rows of one rank: of each batch of all ranks, its own range.

    All ranks have equally many batches, and so equally many steps. What is missing in the last batch of all ranks is
    filled up with rows from the beginning, of which nothing is learned.
    """

    def __init__(self, sampler: Any, rows: Sequence[int], rank: int) -> None:
        # accelerate gives an epoch's order to the sampler of this name.
        self.sampler: Any = sampler
        self.batch_size = rows[rank]
        self.drop_last = False
        self._of_all = sum(rows)
        self._from = first_row(rows, rank)
        self._to = self._from + rows[rank]

    def __len__(self) -> int:
        return math.ceil(len(self.sampler) / self._of_all)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self.sampler)
        for start in range(0, len(order), self._of_all):
            places = range(start + self._from, start + self._to)
            yield [order[place % len(order)] for place in places]


def first_row(rows: Sequence[int], rank: int) -> int:
    """Return at which row of the batch of all ranks those of one rank begin."""
    return list(accumulate(rows, initial=0))[rank]


def take_rows(loader: Any, rows: Sequence[int], rank: int) -> None:
    """Have a loader that accelerate has prepared yield the rows of this rank."""
    shard = loader.batch_sampler
    shard.batch_sampler = RankRows(shard.batch_sampler.sampler, rows, rank)
    # What it is given is this rank's already; the same way transformers takes for its own such sampler.
    shard.num_processes, shard.process_index, shard.batch_size = 1, 0, rows[rank]
