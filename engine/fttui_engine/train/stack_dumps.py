"""Lets a rank say what each of its threads is doing, also while native code holds the interpreter."""

import faulthandler
import os
from contextlib import suppress

from fttui_engine.runs.attempt import Attempt
from fttui_engine.runs.home import PRIVATE_FILE, PRIVATE_FOLDER
from fttui_engine.runs.stacks import STACKS_SIGNAL


def dump_when_asked(attempt: Attempt, rank: int) -> None:
    """Have this process, and those that it forks, append their stacks to a file whenever the signal comes."""
    # On a full disk it cannot be asked, which is no reason not to train.
    with suppress(OSError):
        attempt.stacks_path.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        path = attempt.stacks_path_of(rank)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        faulthandler.register(STACKS_SIGNAL, file=descriptor, all_threads=True, chain=False)
