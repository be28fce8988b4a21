"""``python -P -m fttui_engine.train.ranks COUNT [MODULE]``: one attempt in several processes of this host.

Takes the place of torchrun, which imports torch for its own sake (4.3 s of CPU), signals process groups, so that a
SIGTERM kills the data loaders and with them the checkpoint (0 of 2 saved), and ends a clean stop with exit code 1.
Standard library only; holds nothing that the ranks wait on.
"""

import os
import sys
from pathlib import Path

from fttui_engine.runs.run import Run
from fttui_engine.train.ranks.launcher import RankProcesses


def main() -> int:
    """Start the ranks, wait for all of them; 0 when they finished or stopped as asked."""
    try:
        run = Run(Path(os.environ["FTTUI_RUN_DIR"]))
        attempt = run.attempt(int(os.environ["FTTUI_ATTEMPT"]))
        count = int(sys.argv[1])
        module = sys.argv[2] if len(sys.argv) > 2 else "fttui_engine.train"
    except (KeyError, ValueError, IndexError):
        print("This starts the ranks of a run; it is started by: fttui start CONFIG", file=sys.stderr)
        return 2
    ranks = RankProcesses(attempt, count)
    ranks.pass_signals_on()
    ranks.start([sys.executable, "-P", "-m", module])
    return ranks.wait()


if __name__ == "__main__":
    sys.exit(main())
