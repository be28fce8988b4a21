"""``fttui demo``: a first run that needs no GPU, no hub and no network."""

import sys
from argparse import Namespace

from fttui.cli.control import leaving_it_running, wait_for_end
from fttui.cli.logs import follow
from fttui.cli.screens import can_open, open_screens
from fttui_engine.launch.start import start
from fttui_engine.spec.load import resolve


def demo(arguments: Namespace) -> int:
    """Start the demo and show it: on the screens, or without a terminal as text to its end."""
    run = start(resolve(None, profile="demo"), arguments.name)
    if can_open():
        return open_screens(run=run.id)
    print(f"fttui: {run.id} is started; no terminal here, so its log follows", file=sys.stderr)
    with leaving_it_running(run):
        follow(run, from_start=True)
    return wait_for_end(run)
