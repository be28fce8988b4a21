"""What ``fttui data`` tells of the data of a configuration, as JSON."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.dataset import Splits
from fttui_engine.train.data.tokenise import IGNORED_LABEL

_BARS = 8


def report_splits(splits: Splits, config: TrainingConfig) -> dict[str, Any]:
    """Return counts, lengths and repetitions of each split."""
    evaluation = evaluation_sets(splits)
    seen = {name: [_fingerprint(example) for example in examples] for name, examples in evaluation.items()}
    train = [_fingerprint(example) for example in splits.train]
    learned = set(train)
    return {
        "train": _split(splits.train, config) | {"repeated": len(train) - len(learned)},
        "evaluation": {
            name: _split(examples, config) | {"also_in_train": sum(each in learned for each in seen[name])}
            for name, examples in evaluation.items()
        },
    }


def evaluation_sets(splits: Splits) -> dict[str, Sequence[Any]]:
    """Return the evaluation sets by name; one alone is called evaluation."""
    if isinstance(splits.evaluation, Mapping):
        return dict(splits.evaluation)
    return {"evaluation": splits.evaluation} if splits.evaluation else {}


def report_steps(examples: int, config: TrainingConfig, processes: int) -> dict[str, Any]:
    """Return how many steps follow from the number of examples, counted as transformers' Trainer does."""
    batches = math.ceil(examples / (config.per_device_train_batch_size * processes))
    per_epoch = max(1, math.ceil(batches / config.batches_per_step))
    steps = config.max_steps if config.max_steps > 0 else math.ceil(config.num_train_epochs * per_epoch)
    return {
        "examples": examples,
        "per_step": config.per_device_train_batch_size * config.batches_per_step * processes,
        "processes": processes,
        "steps_per_epoch": per_epoch,
        "steps": steps,
        "epochs": round(steps / per_epoch, 2),
    }


def show_examples(examples: Sequence[Any], count: int, tokenizer: Any) -> list[list[dict[str, Any]]]:
    """Return the first examples as pieces of text, each with whether it is learned."""
    return [_pieces(examples[number], tokenizer) for number in range(min(count, len(examples)))]


def _split(examples: Sequence[Any], config: TrainingConfig) -> dict[str, Any]:
    lengths = numpy.array([_longest(example) for example in examples])
    edges = numpy.unique(numpy.linspace(lengths.min() - 1, lengths.max(), _BARS + 1).round().astype(int))
    # Halves, so that a length on an edge counts to the bar below it.
    counts, _ = numpy.histogram(lengths, edges + 0.5)
    bars = zip(edges[:-1], edges[1:], counts, strict=True)
    return {
        "examples": len(examples),
        "tokens": sum(example.token_count for example in examples),
        "learned_tokens": sum(example.learned_count for example in examples),
        "length": {
            "p50": int(numpy.percentile(lengths, 50)),
            "p95": int(numpy.percentile(lengths, 95)),
            "max": int(lengths.max()),
            "cutoff_len": config.cutoff_len,
            "histogram": [
                {"from": int(low) + 1, "to": int(high), "examples": int(number)} for low, high, number in bars
            ],
        },
    }


def _longest(example: Any) -> int:
    """Return how many tokens of an example are in one sequence; a pair has two of them."""
    fields = example._asdict()
    if "prompt_ids" in fields:
        return len(fields["prompt_ids"]) + len(fields["answer_ids"])
    return max(len(values) for name, values in fields.items() if name.endswith("_ids"))


def _fingerprint(example: Any) -> tuple[bytes, ...]:
    return tuple(values.tobytes() for values in example)


def _pieces(example: Any, tokenizer: Any) -> list[dict[str, Any]]:
    """Return the sequences of an example, each cut where learning begins or ends."""
    pieces: list[dict[str, Any]] = []
    fields = example._asdict()
    for name, ids in fields.items():
        if not name.endswith("_ids"):
            continue
        labels = fields.get(name.replace("_ids", "_labels").replace("input_labels", "labels"))
        learned = [name == "answer_ids"] * len(ids) if labels is None else labels != IGNORED_LABEL
        place = 0
        for is_learned, run in groupby(bool(each) for each in learned):
            end = place + sum(1 for _ in run)
            text = tokenizer.decode(ids[place:end], clean_up_tokenization_spaces=False)
            pieces.append({"part": name.removesuffix("_ids"), "learned": is_learned, "text": text})
            place = end
    return pieces
