"""The data of a run: read, tokenised, split, and counted in the log."""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.sources import Row, Source, find_sources, read_rows
from fttui_engine.train.data.tokenise import Example, Tokenised
from fttui_engine.train.errors import DataError

# Between two looks at the stop request and two progress lines in the log.
_LOOK_EVERY_EXAMPLES = 64
_LOG_EVERY_SECONDS = 10.0


class Splits(NamedTuple):
    """The examples that are learned and those that are only evaluated."""

    train: list[Example]
    evaluation: list[Example]


class Reader(Protocol):
    """Turns the records of a file into tokens, as a stage learns them."""

    def for_source(
        self, source: Source, columns: Mapping[str, Any]
    ) -> tuple[str, Callable[[Row], Tokenised]]:
        """Return the words for the form of a file's records, and what turns one of them into tokens."""


def load_splits(
    config: TrainingConfig, reader: Reader, log: Callable[[str], None], check_stop: Callable[[], None]
) -> Splits:
    """Return the tokenised data of a configuration; ``check_stop`` is called every few examples and may raise."""

    def load(key: str, names: Sequence[str]) -> list[Example]:
        examples: list[Example] = []
        accounts: list[_Account] = []
        for source in find_sources(names, config.dataset_dir):
            found, account = _load(source, reader, config, log, check_stop)
            examples += found
            accounts.append(account)
        if not examples:
            what_became = "; ".join(account.records() for account in accounts)
            raise DataError(
                f"{key} has no example to learn from: {what_became}",
                "change the data, or raise cutoff_len where the prompts are longer",
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
    reader: Reader,
    config: TrainingConfig,
    log: Callable[[str], None],
    check_stop: Callable[[], None],
) -> tuple[list[Example], "_Account"]:
    """Read and tokenise one file and say in the log what became of its records."""
    account = _Account(source.path, config.cutoff_len)
    examples: list[Example] = []
    tokenise = None
    logged_at = time.monotonic()
    for row in read_rows(source):
        if config.max_samples is not None and account.rows >= config.max_samples:
            break
        if tokenise is None:
            account.formatting, tokenise = reader.for_source(source, row.values)
        result = tokenise(row)
        account.count(result)
        if result.example is not None:
            examples.append(result.example)
        if account.rows % _LOOK_EVERY_EXAMPLES == 0:
            check_stop()
            if time.monotonic() - logged_at > _LOG_EVERY_SECONDS:
                log(f"data: {account.rows} records of {source.path.name} tokenised")
                logged_at = time.monotonic()
    account.report(log)
    return examples, account


class _Account:
    """What became of the records of one file."""

    def __init__(self, path: Path, cutoff_len: int) -> None:
        self.formatting = "no records"
        self.rows = 0
        self._path = path
        self._cutoff_len = cutoff_len
        self._used = self._cut = self._history_unlearned = self._tokens = self._learned = 0
        self._dropped: Counter[str] = Counter()

    def count(self, result: Tokenised) -> None:
        self.rows += 1
        self._history_unlearned += result.history_unlearned
        if result.example is None:
            self._dropped[result.dropped] += 1
            return
        self._used += 1
        self._cut += result.was_cut
        self._tokens += result.example.token_count
        self._learned += result.example.learned_count

    def records(self) -> str:
        """Say how many records were used, and why the others were not."""
        used = f"{self._path.name} ({self.formatting}): {self._used} of {self.rows} records used"
        dropped = [f"{count} dropped ({reason})" for reason, count in self._dropped.most_common()]
        return ", ".join([used, *dropped])

    def report(self, log: Callable[[str], None]) -> None:
        parts = [f"data: {self.records()}"]
        if self._cut:
            parts.append(f"{self._cut} cut to {self._cutoff_len} tokens")
        log(", ".join([*parts, f"{self._tokens} tokens, {self._learned} of them learned"]))
        if self._history_unlearned:
            log(
                f"warning: the chat template rewrites earlier answers, so {self._history_unlearned} conversations "
                "teach their last answer only"
            )
