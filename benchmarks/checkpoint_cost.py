"""What checkpoints cost at ``save_steps: 100`` on a model of 135 million weights: writing them, and sealing them.

Sealing is what fttui adds to transformers' saving: every file flushed to the disk, read back for its sha256, and the
manifest. The seconds of real saves are set against those of 100 steps, computed from the mean of real steps.

    python benchmarks/checkpoint_cost.py
"""

import argparse
import functools
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measure
import workload

STEPS_PER_SAVE = 100


def watch_saves(saves: list[dict[str, float]]) -> None:
    """Have every checkpoint that this process writes note its seconds; called in the process that trains."""
    from fttui_engine.train.loop import checkpoints

    plain_save, plain_seal = checkpoints.CheckpointFolder.save, checkpoints.seal

    def clocks() -> tuple[float, float]:
        return time.monotonic(), time.process_time()

    @functools.wraps(plain_save)
    def save(*arguments: Any, **options: Any) -> Any:
        saves.append({})
        wall, cpu = clocks()
        manifest = plain_save(*arguments, **options)
        saves[-1] |= {"seconds": time.monotonic() - wall, "cpu_seconds": time.process_time() - cpu}
        saves[-1]["bytes"] = sum(file.size_bytes for file in manifest.files) if manifest else 0
        return manifest

    @functools.wraps(plain_seal)
    def seal(*arguments: Any, **options: Any) -> Any:
        wall, cpu = clocks()
        manifest = plain_seal(*arguments, **options)
        saves[-1] |= {"seal_seconds": time.monotonic() - wall, "seal_cpu_seconds": time.process_time() - cpu}
        return manifest

    checkpoints.CheckpointFolder.save, checkpoints.seal = save, seal  # type: ignore[method-assign]


def measured(method: str, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train some steps with a save after each and return the figures."""
    from throughput import run_one

    folder = work / "attempt"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return run_one(
        sys.executable,
        ["fttui", "--method", method, "--steps", str(options.steps), "--save-steps", "1"],
        paths={"model": work / "model", "data": work / "data" / "questions.json", "work": folder},
        home=work / "home",
    )


def main() -> None:
    """Measure LoRA and full fine-tuning."""
    parser = measure.parser(__doc__)
    parser.add_argument("--model", choices=workload.MODELS, default="smollm2-135m")
    parser.add_argument("--steps", type=int, default=3)
    parser.set_defaults(repeats=1)
    options = parser.parse_args()
    measure.adopt_orphans()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).absolute()
        data = workload.make_data(work / "data", 200)
        workload.make_model(work / "model", options.model, data)
        sides = {method: functools.partial(measured, method, work, options) for method in ("lora", "full")}
        results: dict[str, list[dict[str, Any]]] = {method: [] for method in sides}
        for method, result in measure.in_turn(sides, options.repeats):
            results[method].append(result)
    headings = [
        "",
        "MB",
        "save, s",
        "of which sealing, s",
        "100 steps, s",
        "saving",
        "sealing",
        "sealing, CPU",
    ]
    rows = [_row(method, each) for method, each in results.items()]
    measure.report(options, headings, rows, {"model": options.model, "results": results})


def _row(method: str, results: list[dict[str, Any]]) -> list[str]:
    saves = [save for result in results for save in result["saves"]]
    wall, seal, cpu = (
        statistics.median(save[name] for save in saves)
        for name in ("seconds", "seal_seconds", "seal_cpu_seconds")
    )
    # The stopwatch of the steps starts before the first checkpoint is written and stops after the last.
    steps = sum(result["steps"] for result in results)
    step_seconds, step_cpu = (
        (sum(result[total] for result in results) - sum(save[part] for save in saves)) / steps
        for total, part in (("wall_seconds", "seconds"), ("cpu_seconds", "cpu_seconds"))
    )
    hundred, hundred_cpu = STEPS_PER_SAVE * step_seconds, STEPS_PER_SAVE * step_cpu
    return [
        method,
        f"{statistics.median(save['bytes'] for save in saves) / 1e6:.0f}",
        f"{wall:.2f}",
        f"{seal:.2f}",
        f"{hundred:.0f}",
        f"{100 * wall / hundred:.2f} %",
        f"{100 * seal / hundred:.2f} %",
        f"{100 * cpu / hundred_cpu:.2f} %",
    ]


if __name__ == "__main__":
    main()
