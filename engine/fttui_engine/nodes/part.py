"""``python -P -m fttui_engine.nodes.part``: starts one machine's part of a run over several, on that machine.

Reads one JSON object from standard input: the run's ``name``, the configuration's ``values`` and ``origins`` as this
machine needs them, and ``ranks``, the arguments of the launcher of ranks. From here on it is a run like any other.
"""

import json
import sys

from fttui_engine.errors import FttuiError, WrongRequestError
from fttui_engine.launch.start import start
from fttui_engine.runs.home import runs_folder
from fttui_engine.runs.logs import one_line
from fttui_engine.spec.findings import Findings
from fttui_engine.spec.resolved import Resolved
from fttui_engine.spec.run_block import RunOptions


def main() -> int:
    """Start it and print the run's folder; the same id on all machines, or none."""
    request = json.load(sys.stdin)
    values = request["values"]
    resolved = Resolved(values, request["origins"], RunOptions.from_values(values["run"]), Findings())
    try:
        if (runs_folder() / request["name"]).exists():
            raise WrongRequestError(f"there is a run {request['name']} already", "choose another --name")
        run = start(resolved, request["name"], ranks=request["ranks"])
    except FttuiError as error:
        print(one_line(f"{error.message} ({error.hint})" if error.hint else error.message), file=sys.stderr)
        return error.exit_code
    print(json.dumps({"id": run.id, "run_dir": str(run.path)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
