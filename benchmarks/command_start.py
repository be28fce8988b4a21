"""What a person waits for most often: the CPU time of ``fttui ls``, ``show`` and ``start`` against ``python -c pass``.

python benchmarks/command_start.py
"""

import functools
import sys
import tempfile
from pathlib import Path

import measure


def main() -> None:
    """Measure the commands in turn."""
    parser = measure.parser(__doc__)
    parser.set_defaults(repeats=9)
    options = parser.parse_args()
    measure.adopt_orphans()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).absolute()
        environment = measure.training_environment(work)
        program = [sys.executable, "-c", "import sys; from fttui.__main__ import main; sys.exit(main())"]
        own = ["start", "--name", "one", "--", "true"]
        measure.cost_of([*program, *own], environment)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "fttui ls": [*program, "ls"],
            "fttui show RUN": [*program, "show", "one"],
            "fttui start": [*program, *own],
        }
        sides = {
            name: functools.partial(measure.cost_of, command, environment)
            for name, command in commands.items()
        }
        for side in sides.values():
            side()  # compiles modules
        costs: dict[str, list[measure.Cost]] = {name: [] for name in sides}
        for name, cost in measure.in_turn(sides, options.repeats):
            costs[name].append(cost)
    best = {name: min(cost.own_cpu_seconds for cost in each) for name, each in costs.items()}
    best["fttui start, with keeper, supervisor and `true`"] = min(costs["fttui start"]).cpu_seconds
    rows = [
        [name, f"{1000 * spent:.0f}", f"{spent / best['python -c pass']:.1f}x"]
        for name, spent in best.items()
    ]
    figures = {name: [cost._asdict() for cost in each] for name, each in costs.items()}
    measure.report(options, ["", "CPU milliseconds", "ratio"], rows, figures)


if __name__ == "__main__":
    main()
