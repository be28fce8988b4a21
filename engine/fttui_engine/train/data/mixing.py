"""Which records are used, in which order: sampling, mixing and splitting, with the picks of the ``datasets`` library.

The same seed picks the same records as in LLaMA-Factory, which calls that library; importing it would cost 1 s of CPU.
"""

import math
from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

Indices = NDArray[numpy.int64]

# datasets draws the sources in blocks of this length; any other length would be another stream of random numbers.
_DRAWS = 1000


def sample(count: int, target: int, random: numpy.random.RandomState) -> Indices:
    """Return ``target`` of ``count`` records: each at most once, or each at least once where there are too few."""
    picks = random.permutation(count)[:target]
    if len(picks) < target:
        picks = numpy.concatenate([picks, random.choice(count, target - len(picks))])
    return picks.astype(numpy.int64)


def mix(lengths: Sequence[int], strategy: str, probabilities: Sequence[float] | None, seed: int) -> Indices:
    """Return the order of the records of several data sets, counted through as if they stood one after the other."""
    if strategy == "concat" or len(lengths) == 1:
        return numpy.arange(sum(lengths))
    if probabilities is None:
        # Whole rounds, so that no data set has one record more than another.
        rounds = min(lengths) if strategy == "interleave_under" else max(lengths)
        draws = numpy.tile(numpy.arange(len(lengths)), rounds)
    else:
        draws = _random_draws(lengths, strategy, probabilities, seed)
    order = numpy.full(len(draws), -1, dtype=numpy.int64)
    first = 0
    for source, length in enumerate(lengths):
        places = numpy.flatnonzero(draws == source)
        if strategy == "interleave_once":
            places = places[:length]
        # A data set that is used up begins again.
        order[places] = first + numpy.arange(len(places)) % length
        first += length
    return order[order >= 0]


def _random_draws(
    lengths: Sequence[int], strategy: str, probabilities: Sequence[float], seed: int
) -> Indices:
    """Return the data set of each draw, up to the draw that uses up the first (``under``) or the last of them."""
    random = numpy.random.default_rng(seed)
    enough = numpy.any if strategy == "interleave_under" else numpy.all
    blocks: list[Indices] = []
    counts = numpy.zeros(len(lengths), dtype=numpy.int64)
    while not enough(counts >= lengths):
        blocks.append(random.choice(len(lengths), size=_DRAWS, p=probabilities))
        counts += numpy.bincount(blocks[-1], minlength=len(lengths))
    draws = numpy.concatenate(blocks)
    used_up = [
        numpy.flatnonzero(draws == source)[length - 1]
        for source, length in enumerate(lengths)
        if counts[source] >= length
    ]
    last = min(used_up) if strategy == "interleave_under" else max(used_up)
    return draws[: last + 1]


def split(count: int, val_size: float, seed: int) -> tuple[Indices, Indices]:
    """Return the records to train on and those to evaluate on; a ``val_size`` below 1 is a fraction, rounded up."""
    if not val_size:
        return numpy.arange(count), numpy.arange(0)
    held_out = int(val_size) if val_size >= 1 else math.ceil(val_size * count)
    order = numpy.random.default_rng(seed).permutation(count)
    return order[held_out:], order[:held_out]
