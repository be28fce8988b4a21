"""The program ``python -P free_gpus_process.py``: finds the package that the supervisor came from, and looks at GPUs.

Found by its place and not by name, since the keeper has left the folder that a relative PYTHONPATH was meant for.
"""

import os
import sys

folder = os.path.abspath(__file__)
for _ in range(3):
    folder = os.path.dirname(folder)
if folder not in sys.path:
    sys.path.insert(0, folder)

from fttui_engine.hardware.free_gpus import main  # noqa: E402 - the path to it is only known now

sys.exit(main())
