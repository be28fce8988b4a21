"""Real tokens per CPU second and peak memory: fttui, transformers' Trainer, trl and LLaMA-Factory in turn.

The same model with random weights, data, LoRA and rate; 8 conversations a step, float32, one thread. Padding does not
count as tokens. The first step is left out.

    python benchmarks/throughput.py --trl-python PYTHON --llamafactory-python PYTHON
"""

import argparse
import functools
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure
import workload

# name: side, options, and which of them it is compared with.
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "transformers": ("transformers", ()),
    "trl": ("trl", ()),
    "trl, its defaults (bf16, checkpointing)": ("trl", ("--own-defaults",)),
    "LLaMA-Factory": ("llamafactory", ()),
    "fttui": ("fttui", ()),
    "fttui, checkpointing": ("fttui", ("--checkpointing",)),
    "LLaMA-Factory, neat_packing": ("llamafactory", ("--packing",)),
    "fttui, neat_packing": ("fttui", ("--packing",)),
}


def train(case: str, python: str, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train once in a process of its own and return its figures."""
    side, words = CASES[case]
    home = work / f"home-{side}"
    folder = work / "attempt"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return run_one(
        python,
        [side, *words, "--steps", str(options.steps)],
        paths={"model": work / "model", "data": work / "data" / "questions.json", "work": folder},
        home=home,
    )


def run_one(python: str, words: list[str], *, paths: dict[str, Path], home: Path) -> dict[str, Any]:
    """Start ``train_one.py`` and return what it measured."""
    result = paths["work"] / "result.json"
    program = Path(__file__).with_name("train_one.py")
    places = [f"--{name}={path}" for name, path in paths.items()]
    command = [python, str(program), *words, *places, f"--result={result}"]
    log = paths["work"].with_suffix(".log")
    measure.cost_of(command, measure.training_environment(home), log)
    figures: dict[str, Any] = json.loads(result.read_text())
    return figures


def main() -> None:
    """Measure all cases whose interpreter is given."""
    parser = measure.parser(__doc__)
    measure.add_others(parser, "trl", "LLaMAFactory")
    parser.add_argument("--model", choices=workload.MODELS, default="25m")
    parser.add_argument("--records", type=int, default=64, help="of the data set (default: 64)")
    parser.add_argument("--steps", type=int, default=0, help="default: one epoch, where packing counts")
    parser.add_argument("--case", action="append", choices=CASES, help="only these")
    options = parser.parse_args()
    measure.adopt_orphans()
    pythons = {
        "fttui": sys.executable,
        "transformers": sys.executable,
        "trl": options.trl_python,
        "llamafactory": options.llamafactory_python,
    }
    chosen = [case for case in options.case or CASES if pythons[CASES[case][0]]]
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).absolute()
        data = workload.make_data(work / "data", options.records)
        workload.make_model(work / "model", options.model, data)
        sides = {
            case: functools.partial(train, case, pythons[CASES[case][0]], work, options) for case in chosen
        }
        results: dict[str, list[dict[str, Any]]] = {case: [] for case in chosen}
        for case, result in measure.in_turn(sides, options.repeats):
            results[case].append(result)
    best = {case: max(each, key=lambda one: one["tokens_per_cpu_second"]) for case, each in results.items()}
    figures = {
        "model": options.model,
        "versions": {side: measure.versions_of(python) for side, python in pythons.items() if python},
        "results": results,
    }
    headings = [
        "",
        "tokens per CPU s",
        "fttui against it",
        "real tokens",
        "peak MiB",
        "above start MiB",
        "last loss",
    ]
    measure.report(options, headings, [_row(case, best) for case in chosen], figures)


def _row(case: str, best: dict[str, dict[str, Any]]) -> list[str]:
    result = best[case]
    ours = best.get("fttui, neat_packing" if "packing" in case else "fttui")
    against = ours["tokens_per_cpu_second"] / result["tokens_per_cpu_second"] if ours else None
    return [
        case,
        f"{result['tokens_per_cpu_second']:.0f}",
        f"{against:.2f}x" if against else "-",
        f"{100 * result['tokens'] / result['places']:.0f} %",
        f"{result['peak_bytes'] / 2**20:.0f}",
        f"{result['above_start_bytes'] / 2**20:.0f}",
        f"{result['losses'][-1]:.4f}",
    ]


if __name__ == "__main__":
    main()
