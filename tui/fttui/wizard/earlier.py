"""How long a step took in earlier runs like the one that is planned."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from fttui.history import number
from fttui_engine.errors import FttuiError
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.run import Run, all_runs
from fttui_engine.runs.summary import summarize

if TYPE_CHECKING:
    from fttui_engine.spec.resolved import Resolved

MOST_RUNS = 30
DECISIVE = (
    *(
        "stage",
        "model_name_or_path",
        "finetuning_type",
        "quantization_bit",
        "cutoff_len",
        "packing",
        "use_cpu",
    ),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "gradient_checkpointing", "bf16", "fp16"),
)
"""What the time of a step depends on most; the length of the examples is the data's own matter."""


def step_seconds_of_earlier_runs(resolved: "Resolved", home: Path) -> tuple[float, str] | None:
    """Return the seconds per step of the newest run with the same settings, and its id; reads files."""
    from fttui_engine.spec.resolved import read_spec

    newest = sorted((summarize(run) for run in all_runs(home)), key=lambda each: -each.created_at)[:MOST_RUNS]
    for summary in newest:
        run = Run(summary.run_dir)
        progress = run.attempt(summary.attempt).read_progress() if summary.kind == "train" else None
        seconds = number(progress.step_seconds) if progress else None
        if not seconds or not 0 < seconds < math.inf:
            continue
        try:
            earlier = read_spec(run.spec_path)
        except (FttuiError, OSError):
            # Of a run that cannot be read nothing is learned here; its own page says what is wrong with it.
            continue
        same = all(earlier.values.get(key) == resolved.values.get(key) for key in DECISIVE)
        if same and earlier.run.process_count == resolved.run.process_count:
            return seconds, one_line(summary.id)
    return None
