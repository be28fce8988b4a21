"""The program ``python -I -S keeper_process.py RUN_DIR start N | serve``: forks, lets its caller go, is the keeper.

A program of its own because a script is compiled at each start (5 ms), while a module that it imports is not.
"""

import os
import sys

# The very first thing: what whoever called waits for is this parent, which has imported nothing yet and leaves as soon
# as the child is in charge. The child's parent is then init, not a screen.
READY_READ, READY_WRITE = os.pipe()
if os.fork():
    os.close(READY_WRITE)
    os._exit(0 if os.read(READY_READ, 1) == b"r" else 1)

folder = os.path.abspath(__file__)
for _ in range(3):
    folder = os.path.dirname(folder)
sys.path.append(folder)

from fttui_engine.supervise.keeper import main  # noqa: E402 - the path to it is only known now

sys.exit(main(READY_WRITE))
