"""One data set prepared: taken from the cache, or read, tokenised and put there."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.spec.keys import GROUPS
from fttui_engine.train.data import cache, mixing
from fttui_engine.train.data.account import Account
from fttui_engine.train.data.parallel import Reader, in_order, usual_processes
from fttui_engine.train.data.sources import Dataset, Row, Source, read_rows
from fttui_engine.train.data.store import Indices, Selection, Store, StoreWriter
from fttui_engine.train.errors import DataError

# Between two looks at the stop request, and two progress lines in the log.
_LOOK_EVERY_RECORDS = 64
_LOG_EVERY_SECONDS = 10.0

# Keys of the data group that choose and order records, or say how the work is done: the tokens of a record are the same.
_NOT_ABOUT_TOKENS = {
    *(
        "dataset",
        "eval_dataset",
        "dataset_dir",
        "max_samples",
        "mix_strategy",
        "interleave_probs",
        "val_size",
    ),
    *("eval_on_each_dataset", "streaming", "buffer_size"),
    *("tokenized_path", "preprocessing_num_workers"),
}


class Prepared(NamedTuple):
    """A data set's records as they are used, and what became of them."""

    selection: Selection
    account: Account


class Preparation:
    """Prepares the data sets of one run."""

    def __init__(
        self,
        config: TrainingConfig,
        reader: Reader,
        tokenizer: Any,
        log: Callable[[str], None],
        check_stop: Callable[[], None],
    ) -> None:
        self.config = config
        self.tokenizer_hash = cache.tokenizer_hash(tokenizer)
        self._reader = reader
        self._log = log
        self._check_stop = check_stop
        # One stream of random numbers through all data sets, as in LLaMA-Factory.
        self._random = numpy.random.RandomState(config.seed)

    def prepare(self, dataset: Dataset, most_rows: int | None = None) -> Prepared:
        """Return the first ``most_rows`` records of a data set, or those that its ``num_samples`` draws."""
        chosen = self._sampled(dataset, most_rows)
        needed = None if chosen is None else numpy.unique(chosen)
        key = self._key(dataset, most_rows, needed)
        store = cache.find(key, self._log) or self._make(key, _Rows(dataset, most_rows, needed), self._log)
        account = Account.from_json(dataset.name, self.config.cutoff_len, store.about)
        rows = numpy.arange(len(store.rows))
        if chosen is not None and needed is not None:
            rows = numpy.searchsorted(needed, chosen)
        return Prepared(Selection(store, rows), account)

    def _sampled(self, dataset: Dataset, most_rows: int | None) -> Indices | None:
        if dataset.num_samples is None or self.config.streaming:
            return None
        count = sum(1 for source in dataset.sources for _ in read_rows(source))
        return mixing.sample(count, dataset.num_samples, self._random)[:most_rows]

    def _key(self, dataset: Dataset, most_rows: int | None, needed: Indices | None) -> str:
        files = [
            [cache.file_hash(source.path), source.path.suffix.lower(), *source[1:]]
            for source in dataset.sources
        ]
        rows = most_rows if needed is None else needed.tolist()
        return cache.key_of(
            {
                "files": files,
                "rows": rows,
                "tokenizer": self.tokenizer_hash,
                "settings": token_settings(self.config),
            }
        )

    def _make(self, key: str, rows: "_Rows", log: Callable[[str], None]) -> Store:
        """Tokenise into the cache, or into a folder of this process alone where the cache cannot be written."""
        try:
            with cache.only_maker(key, log, self._check_stop):
                # Somebody else may have made it while this process waited.
                if store := cache.find(key, log):
                    return store
                with cache.building_folder(cache.cache_folder(), key) as building:
                    self._tokenise(rows, building)
                    return Store(cache.keep(key, building))
        except OSError as error:
            log(f"warning: prepared data cannot be kept in {cache.cache_folder()}: {error.strerror or error}")
        # The files are mapped below, so that they live on without their names.
        with TemporaryDirectory(prefix="fttui-data-") as folder:
            self._tokenise(rows, Path(folder))
            return Store(Path(folder))

    def _tokenise(self, rows: "_Rows", folder: Path) -> None:
        account = Account(rows.dataset.name, self.config.cutoff_len)
        writer = StoreWriter(folder)
        logged_at = time.monotonic()
        data_bytes = sum(source.path.stat().st_size for source in rows.dataset.sources)
        processes = self.config.preprocessing_num_workers or usual_processes(data_bytes)
        try:
            for formatting, result in in_order(rows, self._reader, processes, self._check_stop):
                account.formatting = formatting
                account.count(result)
                writer.append(result)
                if account.rows % _LOOK_EVERY_RECORDS == 0:
                    self._check_stop()
                    if time.monotonic() - logged_at > _LOG_EVERY_SECONDS:
                        self._log(f"data: {account.rows} records of {account.name} tokenised")
                        logged_at = time.monotonic()
            if not account.rows:
                raise DataError(f"data set {account.name} has no records", "give it at least one")
            writer.close(account.to_json())
        finally:
            writer.abandon()


def token_settings(config: TrainingConfig) -> dict[str, Any]:
    """Return the settings that the tokens of a record depend on."""
    names = ["stage", *(key.name for key in GROUPS["data"] if key.name not in _NOT_ABOUT_TOKENS)]
    return {name: getattr(config, name) for name in names}


class _Rows:
    """The records of a data set that are needed, file by file."""

    def __init__(self, dataset: Dataset, most_rows: int | None, needed: Indices | None) -> None:
        self.dataset = dataset
        self._most_rows = most_rows
        self._needed = None if needed is None else set(needed.tolist())

    def __iter__(self) -> Iterator[tuple[Source, Row]]:
        number = 0
        for source in self.dataset.sources:
            for row in read_rows(source):
                if self._most_rows is not None and self._needed is None and number >= self._most_rows:
                    return
                if self._needed is None or number in self._needed:
                    yield source, row
                number += 1
