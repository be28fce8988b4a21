"""The program of a batch job, ``python -P slurm_batch_process.py RUN_DIR``: finds the package that it came from."""

import os
import sys

folder = os.path.abspath(__file__)
for _ in range(3):
    folder = os.path.dirname(folder)
if folder not in sys.path:
    sys.path.insert(0, folder)

from fttui_engine.supervise.slurm_batch import main  # noqa: E402 - the path to it is only known now

sys.exit(main())
