"""The data of a run: read, tokenised, split, counted in the log, and put into batches."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import DataError
from fttui_engine.train.formats import converter, detect_format
from fttui_engine.train.sources import Source, find_sources, read_rows
from fttui_engine.train.tokenise import IGNORED_LABEL, ConversationTokeniser, Example

# Between two looks at the stop request and two progress lines in the log.
_LOOK_EVERY_EXAMPLES = 64
_LOG_EVERY_SECONDS = 10.0


class Splits(NamedTuple):
    """The examples that are learned and those that are only evaluated."""

    train: list[Example]
    evaluation: list[Example]


def load_splits(
    config: TrainingConfig, tokenizer: Any, log: Callable[[str], None], check_stop: Callable[[], None]
) -> Splits:
    """Return the tokenised data of a configuration; ``check_stop`` is called every few examples and may raise."""
    tokenise = ConversationTokeniser(
        tokenizer,
        config.cutoff_len,
        train_on_prompt=config.train_on_prompt,
        mask_history=config.mask_history,
        default_system=config.default_system,
    )

    def load(key: str, names: Sequence[str]) -> list[Example]:
        examples: list[Example] = []
        for source in find_sources(names, config.dataset_dir):
            examples += _load(source, tokenise, config, log, check_stop)
        if not examples:
            raise DataError(
                f"{key} has no example to learn from", f"look at the lines above: {', '.join(names)}"
            )
        return examples

    train = load("dataset", config.dataset)
    if config.eval_dataset:
        return Splits(train, load("eval_dataset", config.eval_dataset))
    return split(train, config.val_size, config.data_seed)


def split(examples: list[Example], val_size: float, seed: int) -> Splits:
    """Set ``val_size`` examples aside for evaluation (a fraction below 1), chosen by ``seed`` and nothing else."""
    if not val_size:
        return Splits(examples, [])
    count = int(val_size) if val_size >= 1 else max(1, round(len(examples) * val_size))
    if count >= len(examples):
        raise DataError(
            f"val_size {val_size:g} would leave nothing to train on: there are {len(examples)} examples",
            "lower val_size",
        )
    chosen = set(random.Random(seed).sample(range(len(examples)), count))  # noqa: S311
    return Splits(
        [example for number, example in enumerate(examples) if number not in chosen],
        [example for number, example in enumerate(examples) if number in chosen],
    )


def _load(
    source: Source,
    tokenise: ConversationTokeniser,
    config: TrainingConfig,
    log: Callable[[str], None],
    check_stop: Callable[[], None],
) -> list[Example]:
    """Read and tokenise one file and say in the log what became of its records."""
    examples: list[Example] = []
    dropped: Counter[str] = Counter()
    cut = history_unlearned = rows_read = 0
    formatting, convert = "", None
    logged_at = time.monotonic()
    for row in read_rows(source):
        if config.max_samples is not None and rows_read >= config.max_samples:
            break
        if convert is None:
            formatting = detect_format(source, row.values)
            convert = converter(source, formatting)
        rows_read += 1
        result = tokenise(convert(row))
        if result.example is None:
            dropped[result.dropped] += 1
        else:
            examples.append(result.example)
        cut += result.was_cut and result.example is not None
        history_unlearned += result.history_unlearned
        if rows_read % _LOOK_EVERY_EXAMPLES == 0:
            check_stop()
            if time.monotonic() - logged_at > _LOG_EVERY_SECONDS:
                log(f"data: {rows_read} records of {source.path.name} tokenised")
                logged_at = time.monotonic()
    log(_account(source.path, formatting, rows_read, examples, dropped, cut, config.cutoff_len))
    if history_unlearned:
        log(
            f"warning: the chat template rewrites earlier answers, so {history_unlearned} conversations teach "
            "their last answer only"
        )
    return examples


def _account(
    path: Path,
    formatting: str,
    rows_read: int,
    examples: list[Example],
    dropped: Counter[str],
    cut: int,
    cutoff_len: int,
) -> str:
    tokens = sum(len(example.input_ids) for example in examples)
    learned = sum(int((example.labels != IGNORED_LABEL).sum()) for example in examples)
    parts = [f"data: {path.name} ({formatting or 'no records'}): {len(examples)} of {rows_read} records used"]
    parts += [f"{count} dropped ({reason})" for reason, count in dropped.most_common()]
    if cut:
        parts.append(f"{cut} cut to {cutoff_len} tokens")
    parts.append(f"{tokens} tokens, {learned} of them learned")
    return ", ".join(parts)


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
