"""``python -P -m fttui_engine.train.ranks COUNT [MODULE]``: one attempt in several processes of this host.

``HOST:COUNT,HOST:COUNT --node I --master ADDRESS:PORT`` in place of COUNT is the part of one host of several.

Takes the place of torchrun, which imports torch for its own sake (4.3 s of CPU), signals process groups, so that a
SIGTERM kills the data loaders and with them the checkpoint (0 of 2 saved), and ends a clean stop with exit code 1.
Standard library only; holds nothing that the ranks wait on.
"""

import os
import sys
from pathlib import Path

from fttui_engine.errors import FttuiError
from fttui_engine.runs.run import Run
from fttui_engine.train.ranks.launcher import RankProcesses
from fttui_engine.train.ranks.place import read_place


def main() -> int:
    """Start the ranks, wait for all of them; 0 when they finished or stopped as asked."""
    try:
        place, module = read_place(sys.argv[1:])
        run = Run(Path(os.environ["FTTUI_RUN_DIR"]))
        attempt = run.attempt(int(os.environ["FTTUI_ATTEMPT"]))
    except (KeyError, ValueError):
        print("This starts the ranks of a run; it is started by: fttui start CONFIG", file=sys.stderr)
        return 2
    except FttuiError as error:
        print(f"{error.message}; {error.hint}", file=sys.stderr)
        return error.exit_code
    ranks = RankProcesses(attempt, place)
    ranks.pass_signals_on()
    return ranks.run([sys.executable, "-P", "-m", module])


if __name__ == "__main__":
    sys.exit(main())
