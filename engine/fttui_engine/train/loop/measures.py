"""Numbers that a stage reports beside the loss, such as rewards/margins: means over examples, kept on the device."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from fttui_engine.train.ranks.group import Ranks


class Measure(NamedTuple):
    """What one batch adds to a mean."""

    total: torch.Tensor
    examples: torch.Tensor | int


def mean_of(values: torch.Tensor, counted: torch.Tensor) -> Measure:
    """Return what these values, one per example, add to a mean over those that are ``counted``."""
    # Picking them out instead would have the GPU waited for.
    return Measure(values.detach().where(counted, 0.0).sum(), counted.sum())


class Measures:
    """Sums since the last logged point; no batch waits for them, only the log does."""

    def __init__(self) -> None:
        self._sums: dict[str, list[Any]] = {}

    def add(self, batch: Mapping[str, Measure]) -> None:
        """Add a batch; every batch on every rank has to bring the same names."""
        for name, measure in batch.items():
            sums = self._sums.setdefault(name, [0.0, 0.0])
            # In double precision: thousands of log-probabilities of -500 would drown the last in single precision.
            sums[0] = sums[0] + measure.total.double()
            sums[1] = sums[1] + measure.examples

    def take(self, ranks: Ranks, prefix: str = "") -> dict[str, float]:
        """Return the means over all ranks and begin anew; a name without any example is left out."""
        totals = self._over_ranks(ranks)
        self._sums = {}
        return {prefix + name: total / count for name, (total, count) in totals.items() if count}

    def state(self, ranks: Ranks) -> dict[str, list[float]]:
        """Return the sums over all ranks as JSON, for a checkpoint in the middle of a logging window."""
        return self._over_ranks(ranks)

    def restore(self, state: Mapping[str, list[float]], ranks: Ranks) -> None:
        """Go on from what ``state`` returned; rank 0 counts for all."""
        self._sums = {
            name: list(sums) if ranks.is_main else [0.0] * len(sums) for name, sums in state.items()
        }

    def _over_ranks(self, ranks: Ranks) -> dict[str, list[float]]:
        names = sorted(self._sums)
        ours = [float(number) for name in names for number in self._sums[name]]
        sums = [sum(numbers) for numbers in zip(*ranks.gather(ours), strict=True)]
        return {name: sums[2 * at : 2 * at + 2] for at, name in enumerate(names)}
