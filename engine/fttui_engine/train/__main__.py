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
from fttui_engine.runs.attempt import Outcome
from fttui_engine.runs.run import Run
from fttui_engine.train.failures import explain
from fttui_engine.train.loop.reporter import Reporter
from fttui_engine.train.loop.stop import StopFlag
from fttui_engine.train.recipe import read_config, read_resume, train

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
    stop = StopFlag(attempt)
    stop.listen()
    reporter = Reporter(run, attempt)
    config: TrainingConfig | None = None
    resume = None
    try:
        reporter.phase("loading")
        config = read_config(run)
        resume = read_resume(attempt)
        outcome = train(config, resume, reporter, stop)
    except Exception as error:  # noqa: BLE001 - whatever it is, the outcome has to say so
        if not isinstance(error, FttuiError):
            traceback.print_exc()
        kind, message, advice = explain(error, config)
        step = max(reporter.step, resume.step if resume else 0)
        outcome = Outcome("failed", step, reporter.max_steps, message, advice, kind)
    # First, since on a full disk the log may take no more, while a torn checkpoint has just made room for this.
    attempt.write_outcome(outcome)
    with contextlib.suppress(OSError):
        reporter.log(f"{outcome.result}: {outcome.message} {outcome.advice}".rstrip())
        reporter.phase("done")
    return 1 if outcome.result == "failed" else 0


if __name__ == "__main__":
    sys.exit(main())
