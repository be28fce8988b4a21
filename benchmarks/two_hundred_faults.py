"""Faults at random moments against a run in two processes, and the same run without any: not a bit may differ.

python benchmarks/two_hundred_faults.py --faults 200 --seed 1
"""

import argparse
import collections
import hashlib
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import measure
from storm import FAULTS, Storm, drawn, fttui, processes_of

from fttui_engine.runs.journal import read_state
from fttui_engine.runs.metrics import read_metrics
from fttui_engine.runs.run import Run
from fttui_engine.runs.states import State

STEPS_A_FAULT = 3
SPARE_STEPS = 30
"""That the last faults still meet a run that trains."""
AT_ONCE = 0.25
"""The share of faults that strike whatever the run does: while it loads, restarts, or waits."""
MOST_SECONDS = 30.0
"""That a fault may take, with all that it costs the run, on average."""
DISK = "size=160m"

CONFIG = """
model_name_or_path: demo:tiny
dataset: demo:instructions
finetuning_type: lora
lora_dropout: 0.1
max_samples: 64
max_steps: {steps}
save_steps: 2
save_total_limit: 4
per_device_train_batch_size: 1
cutoff_len: 32
learning_rate: 1.0e-3
use_cpu: true
output_dir: {output_dir}
run:
  processes: 2
  restart: {{max: 20, backoff_seconds: 0.1}}
"""


def main() -> None:
    """Train twice, once in the storm, and compare."""
    parser = measure.parser(__doc__)
    parser.add_argument("--faults", type=int, default=200, help="how many (default: 200)")
    parser.add_argument(
        "--seed", type=int, default=1, help="decides which faults, when, and how (default: 1)"
    )
    parser.add_argument("--only", action="append", choices=FAULTS, help="this kind alone; can be repeated")
    options = parser.parse_args()
    _have_own_mounts()
    measure.adopt_orphans()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        figures = compare(work, options)
    names = ["faults", "attempts", "resumed by a person", "minutes", "minutes without faults"]
    names.append("CPU seconds of both runs")
    rows = [[name, f"{figures[name]:g}"] for name in names]
    for name, seconds in figures["a killed rank"].items():
        rows.append([f"killed rank: {name}", seconds])
    measure.report(options, ["", "measured"], rows, figures)
    if figures["differences"]:
        sys.exit("not as without faults: " + "; ".join(figures["differences"]))


def _have_own_mounts() -> None:
    """Go on in a mount namespace of this program's own, where a disk can be small without being anybody else's."""
    if "FAULTS_OWN_MOUNTS" not in os.environ:
        as_root = () if os.geteuid() == 0 else ("--map-root-user",)
        argv = ["unshare", "--mount", *as_root, sys.executable, *sys.argv]
        os.execvpe(argv[0], argv, os.environ | {"FAULTS_OWN_MOUNTS": "1"})


def compare(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures; ``differences`` is empty where the storm changed nothing."""
    environment = measure.training_environment(work)
    os.environ["FTTUI_HOME"] = environment["FTTUI_HOME"]
    steps = STEPS_A_FAULT * options.faults + SPARE_STEPS
    started = time.monotonic()
    calm = _start("calm", work, environment, steps)
    if fttui(environment, "wait", calm.id).wait():
        sys.exit(f"the run without faults did not finish: {read_state(calm).exit}")
    calm_seconds = time.monotonic() - started

    chance = random.Random(options.seed)  # noqa: S311
    storm = Storm(_start("storm", work, environment, steps), environment, chance)
    names = drawn(options.faults, storm.chance, options.only or list(FAULTS))
    started = time.monotonic()
    _weather(storm, names, steps, started + MOST_SECONDS * (options.faults + 2))
    return {
        "seed": options.seed,
        "faults": len(names),
        "by kind": dict(collections.Counter(names)),
        "attempts": read_state(storm.run).attempt,
        "resumed by a person": storm.resumes,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "CPU seconds of both runs": round(_cpu_seconds()),
        "minutes without faults": round(calm_seconds / 60, 1),
        "a killed rank": _death_figures(storm),
        "differences": _differences(calm, storm.run, steps),
    }


def _cpu_seconds() -> float:
    """Return what all processes of both runs took: their orphans come to this one."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _start(name: str, work: Path, environment: Mapping[str, str], steps: int) -> Run:
    output = work / f"output-{name}"
    output.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", str(output)], check=True)
    config = work / f"{name}.yaml"
    config.write_text(CONFIG.format(steps=steps, output_dir=output))
    if fttui(environment, "start", str(config), "--name", name).wait():
        sys.exit(f"{name} could not be started: fttui start {config} says why")
    return Run(Path(environment["FTTUI_HOME"]) / "runs" / name)


def _weather(storm: Storm, names: list[str], steps: int, deadline: float) -> None:
    """Let the faults strike, spread over the steps, and wait for the end."""
    for number, name in enumerate(names):
        if storm.chance.random() >= AT_ONCE:
            _reach(storm, number * STEPS_A_FAULT, deadline)
        time.sleep(storm.chance.uniform(0.0, 1.0))
        step = _step(storm.run)
        print(f"{number + 1}/{len(names)}: {name}, at step {step}", file=sys.stderr, flush=True)
        FAULTS[name](storm)
    _reach(storm, steps + 1, deadline)
    while processes_of(storm.run.path) and time.monotonic() < deadline:
        time.sleep(0.05)


def _reach(storm: Storm, step: int, deadline: float) -> None:
    """Wait until a step is done, or the run has finished."""
    while storm.go_on() and _step(storm.run) < step:
        if time.monotonic() > deadline:
            sys.exit(f"gave up at step {_step(storm.run)}: {read_state(storm.run)}")
        time.sleep(0.1)


def _step(run: Run) -> int:
    return max((point["step"] for point in read_metrics(run.metrics_path)), default=0)


def _differences(calm: Run, stormy: Run, steps: int) -> list[str]:
    """Return a sentence for everything that is not as it was without faults."""
    found = []
    if (state := read_state(stormy)).state is not State.FINISHED:
        found.append(f"it is {state.state}: {state.exit and state.exit.message}")
    if left := processes_of(stormy.path):
        found.append(f"processes {sorted(left)} are left")
    points = [
        [(point["step"], point["loss"]) for point in read_metrics(run.metrics_path) if "loss" in point]
        for run in (calm, stormy)
    ]
    if [step for step, _ in points[1]] != list(range(1, steps + 1)):
        found.append("not every step is there once")
    wrong = [ours[0] for theirs, ours in zip(*points, strict=False) if theirs != ours]
    if wrong:
        found.append(f"the losses of {len(wrong)} steps differ, the first at step {wrong[0]}")
    weights = [
        hashlib.sha256((run.output_dir / "adapter_model.safetensors").read_bytes()).digest()
        if (run.output_dir / "adapter_model.safetensors").exists()
        else None
        for run in (calm, stormy)
    ]
    if weights[0] is None or weights[0] != weights[1]:
        found.append("the adapter that was learned differs")
    return found


def _death_figures(storm: Storm) -> dict[str, str]:
    """Return median and worst of what followed on the deaths of ranks."""
    titles = ("until nothing of the attempt is left", "until the verdict", "until the next attempt")
    figures = {}
    for place, title in enumerate(titles):
        if seconds := [found for death in storm.deaths if (found := death[place]) is not None]:
            worst, middle = max(seconds), statistics.median(seconds)
            figures[title] = f"{middle:.2f} s, at most {worst:.2f} s, of {len(seconds)}"
    return figures


if __name__ == "__main__":
    main()
