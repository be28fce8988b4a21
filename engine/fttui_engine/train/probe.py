"""``python -P -m fttui_engine.train.probe``: some real steps on the longest examples, for the memory that they take.

It writes ``memory.json`` and the outcome into a run's folder that whoever started it throws away.
"""

import dataclasses
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# As in __main__: threads that wait must not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from fttui_engine.errors import FttuiError
from fttui_engine.runs.attempt import Outcome
from fttui_engine.runs.run import Run
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.dataset import Splits
from fttui_engine.train.failures import explain
from fttui_engine.train.leash import end_with_starter
from fttui_engine.train.loop.checkpoints import CheckpointFolder
from fttui_engine.train.loop.reporter import Reporter, SilentReporter
from fttui_engine.train.loop.stop import StopFlag
from fttui_engine.train.ranks.group import Ranks
from fttui_engine.train.ranks.output import mark_lines
from fttui_engine.train.recipe import Worker, build_trainer, meet, prepare, read_config
from fttui_engine.train.stages import stage_of

# The first has no optimizer states yet, the second has, and the third shows that it stays so.
STEPS = 3
# Sums of gradients exist from the second batch of a step on; more batches take no more memory.
MOST_BATCHES = 2


def main() -> int:
    """Measure; the exit code is 1 where training failed, and the outcome says why."""
    end_with_starter()
    run = Run(Path(os.environ["FTTUI_RUN_DIR"]))
    attempt = run.attempt(1)
    ranks = Ranks.from_environment()
    if not ranks.is_main:
        mark_lines(ranks.rank)
    reporter = Reporter(run, attempt) if ranks.is_main else SilentReporter(run, attempt)
    config: TrainingConfig | None = None
    try:
        config, options = read_config(run)
        config = shortened(config)
        worker = Worker(reporter, StopFlag(attempt, ranks), ranks, on_divergence="off")
        measure(config, options.strategy, worker)
        ranks.leave()
        outcome = Outcome("finished", STEPS, STEPS, "Measured.")
    except Exception as error:  # noqa: BLE001 - whatever it is, the outcome has to say so
        if not isinstance(error, FttuiError):
            traceback.print_exc()
        kind, message, advice = explain(error, config)
        outcome = Outcome("failed", 0, STEPS, message, advice, kind)
    if ranks.count > 1 and outcome.result == "failed":
        # Whoever started the ranks finds out which of them was the cause.
        attempt.write_rank_failure(ranks.rank, outcome)
    elif ranks.is_main:
        attempt.write_outcome(outcome)
    return 0 if outcome.result == "finished" else 1


def shortened(config: TrainingConfig) -> TrainingConfig:
    """Return the configuration for some steps of which nothing is kept."""
    return dataclasses.replace(
        config,
        max_steps=STEPS,
        gradient_accumulation_steps=min(config.gradient_accumulation_steps, MOST_BATCHES),
        save_strategy="no",
        eval_strategy="no",
        eval_on_start=False,
        load_best_model_at_end=False,
        early_stopping_steps=None,
        logging_steps=1,
    )


def measure(config: TrainingConfig, wanted_strategy: str, worker: Worker) -> None:
    """Train on the longest examples and record what that took, of several processes the most."""
    from fttui_engine.train.loop.memory_watch import MemoryWatch, peak_bytes

    stage = stage_of(config)
    config = meet(config, wanted_strategy, worker).settle(config)
    prepared = prepare(config, stage, worker)
    ranks = worker.ranks
    batch = config.per_device_train_batch_size * config.gradient_accumulation_steps * ranks.count
    longest = longest_examples(prepared.splits.train, batch) * STEPS
    prepared = prepared._replace(splits=Splits(longest, []))
    nothing_kept = CheckpointFolder(
        Path(config.output_dir),
        {},
        save_total_limit=None,
        resumed_from=None,
        expected_bytes=0,
        ranks=ranks,
    )
    trainer = build_trainer(
        config, stage, prepared, resume=None, checkpoints=nothing_kept, **worker._asdict()
    )
    if ranks.is_main:
        watch = MemoryWatch.begin(config, longest, worker.reporter.run_path, processes=ranks.count)
    trainer.train()
    most = max(peak for (peak,) in ranks.gather([float(peak_bytes(config))]))
    if ranks.is_main:
        watch.end(int(most))


def longest_examples(examples: Sequence[Any], count: int) -> list[Any]:
    """Return so many of the longest examples, some of them again where there are not as many."""
    from fttui_engine.train.loop.memory_watch import example_tokens

    by_length = sorted(range(len(examples)), key=lambda index: -example_tokens(examples[index]))[:count]
    return [examples[by_length[place % len(by_length)]] for place in range(count)]


if __name__ == "__main__":
    sys.exit(main())
