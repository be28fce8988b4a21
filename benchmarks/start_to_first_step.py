"""From the command to the first training step: the CPU seconds of a run of one step, with the same YAML.

Counted is everything that the command starts: for fttui its keeper, supervisor and worker too.

    python benchmarks/start_to_first_step.py --llamafactory-python PYTHON
"""

import functools
import shutil
import sys
import tempfile
from pathlib import Path

import measure
import workload
import yaml


def values_of(work: Path) -> dict[str, object]:
    """Return the configuration of both."""
    return {
        "model_name_or_path": str(work / "model"),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "dataset": "questions",
        "dataset_dir": str(work / "data"),
        "template": "chatml",
        "cutoff_len": 512,
        "per_device_train_batch_size": 1,
        "max_steps": 1,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        # With it LLaMA-Factory 0.9.5 does not start under transformers 5.23.
        "disable_gradient_checkpointing": True,
    }


def start(side: str, python: str, again: bool, work: Path) -> measure.Cost:
    """Run one step and return what it took; ``again`` finds what the time before has prepared."""
    home = work / f"home-{side}"
    if not again:
        for cache in (home / "fttui", home / "huggingface"):
            shutil.rmtree(cache, ignore_errors=True)
    output = work / f"output-{side}"
    shutil.rmtree(output, ignore_errors=True)
    config = work / f"{side}.yaml"
    config.write_text(yaml.safe_dump({**values_of(work), "output_dir": str(output)}, sort_keys=False))
    if side == "fttui":
        command = [python, "-m", "fttui", "start", str(config), "--wait"]
    else:
        program = "import sys; from llamafactory.cli import main; sys.argv[0] = 'llamafactory-cli'; main()"
        command = [python, "-c", program, "train", str(config)]
    return measure.cost_of(command, measure.training_environment(home), work / f"{side}.log")


def main() -> None:
    """Measure both sides in turn."""
    parser = measure.parser(__doc__)
    measure.add_others(parser, "llamafactory")
    parser.add_argument("--records", type=int, default=1000, help="of the data set (default: 1000)")
    options = parser.parse_args()
    measure.adopt_orphans()
    pythons = {"fttui": sys.executable, "LLaMA-Factory": options.llamafactory_python}
    pythons = {side: python for side, python in pythons.items() if python}
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).absolute()
        data = workload.make_data(work / "data", options.records)
        workload.make_model(work / "model", "tiny", data)
        sides = {
            f"{side}, {'second' if again else 'first'} start": functools.partial(
                start, side, python, again, work
            )
            for side, python in pythons.items()
            for again in (False, True)
        }
        for side, python in pythons.items():
            start(side, python, False, work)  # compiles modules
        costs: dict[str, list[measure.Cost]] = {side: [] for side in sides}
        for side, cost in measure.in_turn(sides, options.repeats):
            costs[side].append(cost)
    best = {side: min(each) for side, each in costs.items()}
    rows = []
    for side, cost in best.items():
        against = best.get(f"LLaMA-Factory, {side.partition(', ')[2]}")
        ratio = f"{cost.cpu_seconds / against.cpu_seconds:.2f}x" if against else "-"
        rows.append([side, f"{cost.cpu_seconds:.1f}", ratio, f"{cost.wall_seconds:.1f}"])
    figures = {
        "versions": {side: measure.versions_of(python) for side, python in pythons.items()},
        "costs": {side: [cost._asdict() for cost in each] for side, each in costs.items()},
    }
    measure.report(options, ["", "CPU seconds", "ratio", "wall seconds"], rows, figures)


if __name__ == "__main__":
    main()
