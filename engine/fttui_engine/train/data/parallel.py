"""Records tokenised in the order in which they come, in this process or in several."""

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import groupby, islice
from typing import Any, NamedTuple, Protocol

from fttui_engine.train.data.sources import Row, Source
from fttui_engine.train.data.tokenise import Tokenised
from fttui_engine.train.errors import DataError

Tokenise = Callable[[Row], Tokenised]
_Results = tuple[str, list[Tokenised]]

# Below, starting processes costs more than they save. 50,000 records (31 MB) take 27 s of CPU, of which 1.7 s remain in
# this process when others tokenise.
_LARGE_BYTES = 8 * 2**20
_MOST_PROCESSES = 8

# Large enough that sending costs little, small enough that a stop is heard within a second.
_CHUNK = 256
_PR_SET_PDEATHSIG = 1


class Reader(Protocol):
    """Turns the records of a file into tokens, as a stage learns them."""

    def for_source(self, source: Source, columns: Mapping[str, Any]) -> tuple[str, Tokenise]:
        """Return the words for the form of a file's records, and what turns one of them into tokens."""


class _Chunk(NamedTuple):
    source: Source
    first: Mapping[str, Any]
    """The first record of the file, which says what form all of them have."""
    rows: list[Row]


def usual_processes(data_bytes: int) -> int:
    """Return how many processes tokenise where the configuration does not say it."""
    return 1 if data_bytes < _LARGE_BYTES else min(_MOST_PROCESSES, len(os.sched_getaffinity(0)))


def in_order(
    rows: Iterable[tuple[Source, Row]], reader: Reader, processes: int, check_stop: Callable[[], None]
) -> Iterator[tuple[str, Tokenised]]:
    """Yield the form of each record and what became of it; ``check_stop`` may raise while other processes work."""
    chunks = _chunks(rows)
    tokenise = _Tokeniser(reader)
    if processes <= 1:
        for chunk in chunks:
            form, function = tokenise.of(chunk)
            for row in chunk.rows:
                yield form, function(row)
        return
    for form, results in _in_processes(chunks, tokenise, processes, check_stop):
        for result in results:
            yield form, result


def _chunks(rows: Iterable[tuple[Source, Row]]) -> Iterator[_Chunk]:
    for source, group in groupby(rows, key=lambda pair: pair[0]):
        records = (row for _, row in group)
        first = None
        while chunk := list(islice(records, _CHUNK)):
            first = first or chunk[0].values
            yield _Chunk(source, first, chunk)


class _Tokeniser:
    """Asks the reader once for each file."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._present: Source | None = None
        self._answer: tuple[str, Tokenise] | None = None

    def of(self, chunk: _Chunk) -> tuple[str, Tokenise]:
        if self._answer is None or self._present != chunk.source:
            self._answer = self._reader.for_source(chunk.source, chunk.first)
            self._present = chunk.source
        return self._answer

    def all_of(self, chunk: _Chunk) -> _Results:
        form, function = self.of(chunk)
        return form, [function(row) for row in chunk.rows]


def _in_processes(
    chunks: Iterator[_Chunk], tokenise: _Tokeniser, processes: int, check_stop: Callable[[], None]
) -> Iterator[_Results]:
    # Forked: the tokenizer is there already, where a new interpreter would import for 4 s of CPU first.
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, context, _begin, (tokenise, os.getpid()))
    pending: deque[Future[_Results]] = deque()
    try:
        # So few chunks at once that memory stays bounded, and enough that nobody waits.
        for chunk in chunks:
            pending.append(pool.submit(_work, chunk))
            if len(pending) > 2 * processes:
                yield _await(pending.popleft(), check_stop)
        while pending:
            yield _await(pending.popleft(), check_stop)
    except BrokenProcessPool as error:
        raise DataError(
            "a process that tokenised data was killed, most likely because memory ran out",
            "lower preprocessing_num_workers",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _await(future: "Future[_Results]", check_stop: Callable[[], None]) -> _Results:
    while True:
        try:
            return future.result(timeout=0.5)
        except TimeoutError:
            check_stop()


# What a forked process inherits; functions of a pool are called by name.
_inherited: list[_Tokeniser] = []


def _begin(tokenise: _Tokeniser, parent: int) -> None:
    """Begin a forked process: it dies with its parent, and a stop is the parent's business."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _inherited[:] = [tokenise]


def _work(chunk: _Chunk) -> _Results:
    return _inherited[0].all_of(chunk)
