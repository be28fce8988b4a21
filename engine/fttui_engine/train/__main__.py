"""``python -P -m fttui_engine.train``: one attempt of one run, named by the environment."""

import contextlib
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

# Before torch is imported: its threads sleep while they wait. With other work on the same cores, spinning ones
# make training 4 to 8 times slower (12.6 against 50-95 tokens per second, SmolLM2-135M on two shared cores).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from fttui_engine.errors import FttuiError
from fttui_engine.runs.attempt import Attempt, Outcome
from fttui_engine.runs.pulse import PulseWriter
from fttui_engine.runs.run import Run
from fttui_engine.spec.run_block import RunOptions
from fttui_engine.train.failures import explain
from fttui_engine.train.lighter import OUT_OF_MEMORY, lighter_settings, with_settings
from fttui_engine.train.loop.reporter import Reporter, SilentReporter
from fttui_engine.train.loop.stop import StopFlag
from fttui_engine.train.ranks.group import Ranks
from fttui_engine.train.ranks.output import mark_lines
from fttui_engine.train.ranks.strategy import keep_batch
from fttui_engine.train.recipe import Worker, read_config, read_resume, train
from fttui_engine.train.stack_dumps import dump_when_asked

if TYPE_CHECKING:
    from fttui_engine.spec.config import TrainingConfig


def main() -> int:
    """Run the attempt; 0 when it finished or stopped as asked, 1 when it failed. ``outcome.json`` says which."""
    try:
        run = Run(Path(os.environ["FTTUI_RUN_DIR"]))
        attempt = run.attempt(int(os.environ["FTTUI_ATTEMPT"]))
    except (KeyError, ValueError):
        print("This is the worker of fttui; it is started by: fttui start CONFIG", file=sys.stderr)
        return 2
    ranks = Ranks.from_environment()
    if not ranks.is_reporter:
        mark_lines(ranks.rank)
    dump_when_asked(attempt, ranks.rank)
    pulse = PulseWriter(attempt.pulse_path_of(ranks.rank))
    stop = StopFlag(attempt, ranks, pulse)
    stop.listen()
    reporter = (Reporter if ranks.is_reporter else SilentReporter)(run, attempt, pulse)
    config: TrainingConfig | None = None
    asked: TrainingConfig | None = None
    options, resume = RunOptions(), None
    try:
        reporter.phase("loading")
        config, options = read_config(run)
        config = asked = with_settings(config, attempt.read_request().settings)
        config = keep_batch(config, ranks.planned or options.process_count, ranks)
        ranks.wanted_rows = options.rank_batches
        resume = read_resume(attempt, ranks)
        worker = Worker(reporter, stop, ranks, options.divergence)
        outcome = train(config, options.strategy, resume, worker)
    except Exception as error:  # noqa: BLE001 - whatever it is, the outcome has to say so
        if not isinstance(error, FttuiError):
            traceback.print_exc()
        kind, message, advice = explain(error, config)
        step = max(reporter.step, resume.step if resume else 0)
        may_shrink = kind in OUT_OF_MEMORY and (options.restart or {}).get("on_oom") == "shrink"
        lighter = lighter_settings(asked) if asked and may_shrink else None
        outcome = Outcome(
            "failed",
            step,
            reporter.max_steps,
            message,
            advice,
            kind,
            lighter=lighter,
            needed_bytes=getattr(error, "needed_bytes", None),
        )
    # First, since on a full disk the log may take no more, while a torn checkpoint has just made room for this.
    _tell(attempt, ranks, outcome)
    with contextlib.suppress(OSError):
        reporter.log(f"{outcome.result}: {outcome.message} {outcome.advice}".rstrip())
        reporter.phase("done")
    if outcome.result != "failed":
        ranks.leave()
        return 0
    if ranks.count > 1:
        # The ordinary way out would wait for the peers inside NCCL, while they wait for this rank.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
    return 1


def _tell(attempt: Attempt, ranks: Ranks, outcome: Outcome) -> None:
    """Record the outcome; of several ranks that fail only one is the cause, and whoever started them finds out which."""
    if ranks.count > 1 and outcome.result == "failed":
        attempt.write_rank_failure(ranks.rank, outcome)
    elif ranks.is_reporter:
        attempt.write_outcome(outcome)


if __name__ == "__main__":
    sys.exit(main())
