"""A process that ends when whoever started it does: its standard input closes then, whatever the end was."""

import os
import signal
import sys
import threading
import time
from typing import Final

from fttui_engine.errors import ExitCode

UNWIND_SECONDS: Final = 5.0
"""How long an interrupted process has to remove what it was writing; native code may not hear of it in time."""


def end_with_starter() -> None:
    """Interrupt this process once standard input is closed; to be called when that is a pipe that nobody writes to."""
    threading.Thread(target=_wait_for_the_end, name="leash", daemon=True).start()


def _wait_for_the_end() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(UNWIND_SECONDS)
    os._exit(ExitCode.INTERRUPTED)
