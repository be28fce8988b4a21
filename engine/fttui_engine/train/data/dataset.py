"""The data of a run: prepared data set by data set, mixed, split, and counted in the log."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.mixing import mix, split
from fttui_engine.train.data.parallel import Reader
from fttui_engine.train.data.prepare import Preparation, Prepared
from fttui_engine.train.data.prepared_folder import load_folder, save_folder
from fttui_engine.train.data.sources import find_datasets
from fttui_engine.train.data.store import examples_of
from fttui_engine.train.errors import DataError

__all__ = ["Reader", "Splits", "load_splits"]

EvaluationSets = Mapping[str, Sequence[Any]]


class Splits(NamedTuple):
    """The examples that are learned and those that are only evaluated."""

    train: Sequence[Any]
    evaluation: Sequence[Any] | EvaluationSets
    """By name of the data set under ``eval_on_each_dataset``; empty where nothing is evaluated."""

    def map(self, function: Callable[[Sequence[Any]], Sequence[Any]]) -> "Splits":
        """Return what ``function`` makes of each split, such as packed examples."""
        if isinstance(self.evaluation, Mapping):
            each = {name: function(examples) for name, examples in self.evaluation.items()}
            return Splits(function(self.train), each)
        return Splits(function(self.train), function(self.evaluation) if self.evaluation else [])


def load_splits(
    config: TrainingConfig,
    reader: Reader,
    tokenizer: Any,
    log: Callable[[str], None],
    check_stop: Callable[[], None],
    *,
    processes: int = 1,
) -> Splits:
    """Return the tokenised data of a configuration; ``check_stop`` is called every few examples and may raise.

    It comes from the cache where the same was prepared before. All ranks may call this at once: one of them prepares,
    the others wait and then share its memory.
    """
    preparation = Preparation(config, reader, tokenizer, log, check_stop)
    saved = Path(config.tokenized_path) if config.tokenized_path else None
    if saved and saved.exists():
        train, evaluation = load_folder(saved, preparation, log)
        return Splits(train, evaluation)
    most_rows = _most_rows(config, processes)
    if config.streaming:
        log(f"data: streaming reads the first {most_rows} records of each data set")
    splits = _prepare_splits(config, preparation, log, most_rows)
    if saved:
        save_folder(saved, splits, preparation, log)
    return splits


def _prepare_splits(
    config: TrainingConfig, preparation: Preparation, log: Callable[[str], None], most_rows: int | None
) -> Splits:
    def prepare(names: Sequence[str]) -> list[Prepared]:
        datasets = find_datasets(names, config.dataset_dir, config.cache_dir)
        prepared = [preparation.prepare(dataset, most_rows) for dataset in datasets]
        for each in prepared:
            each.account.report(log)
        return prepared

    train = prepare(config.dataset)
    order = _mixed(train, config)
    if config.eval_dataset:
        evaluation = prepare(config.eval_dataset)
        if config.eval_on_each_dataset:
            return Splits(_examples("dataset", train, order), _one_by_one(evaluation))
        both = _examples("eval_dataset", evaluation, _mixed(evaluation, config))
        return Splits(_examples("dataset", train, order), both)
    if config.val_size >= len(order):
        raise DataError(
            f"val_size {config.val_size:g} would leave nothing to train on: there are {len(order)} examples",
            "lower val_size",
        )
    kept, held_out = split(len(order), config.val_size, config.seed)
    return Splits(
        _examples("dataset", train, order[kept]),
        _examples("val_size", train, order[held_out]) if config.val_size else [],
    )


def _one_by_one(evaluation: Sequence[Prepared]) -> dict[str, Sequence[Any]]:
    """Return the examples of each data set by its name, which goes into eval_NAME_loss; equal names are numbered."""
    sets: dict[str, Sequence[Any]] = {}
    for number, each in enumerate(evaluation, start=1):
        name = Path(each.account.name).stem
        sets[name if name not in sets else f"{name}_{number}"] = _examples("eval_dataset", [each])
    return sets


def _most_rows(config: TrainingConfig, processes: int) -> int | None:
    """Return how many records of each data set are read at most."""
    if not config.streaming:
        return config.max_samples
    batch = config.per_device_train_batch_size * config.batches_per_step * processes
    # Each data set alone could have to feed all steps.
    needed = config.max_steps * batch + config.buffer_size + int(config.val_size)
    return min(needed, config.max_samples or needed)


def _mixed(prepared: Sequence[Prepared], config: TrainingConfig) -> Any:
    """Return the order of the records, counted through all data sets; dropped ones still have their turn."""
    lengths = [len(each.selection.rows) for each in prepared]
    probabilities = [float(text) for text in config.interleave_probs or ()] or None
    return mix(lengths, config.mix_strategy, probabilities, config.seed)


def _examples(key: str, prepared: Sequence[Prepared], order: Any = None) -> Sequence[Any]:
    if order is None:
        order = numpy.arange(len(prepared[0].selection.rows))
    examples = examples_of([each.selection for each in prepared], order)
    if not examples:
        what_became = "; ".join(each.account.records() for each in prepared)
        raise DataError(
            f"{key} has no example to learn from: {what_became}",
            "change the data, or raise cutoff_len where the prompts are longer",
        )
    return examples
