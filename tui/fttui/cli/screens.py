"""Opening the screens, where there is a terminal that can show them."""

import os
import sys
from argparse import Namespace

from fttui_engine.errors import ExitCode


def run(arguments: Namespace) -> int:
    """Open the screens at one run."""
    from fttui_engine.runs.run import find_run

    return open_screens(find_run(arguments.run).id, opens_run=True)


def open_screens(select: str | None = None, *, opens_run: bool = False) -> int:
    """Open the screens; without a fit terminal list the runs instead and say why."""
    if problem := _problem():
        from fttui.cli.show import print_table

        print_table()
        print(f"fttui: {problem}; the verbs work everywhere: fttui -h", file=sys.stderr)
        return ExitCode.WRONG_REQUEST
    from fttui.app import run_app

    return run_app(select=select, opens_run=opens_run)


def can_open() -> bool:
    """Whether there is a terminal that the screens can be shown on."""
    return not _problem()


def _problem() -> str:
    for stream, name in ((sys.stdin, "input"), (sys.stdout, "output"), (sys.stderr, "error output")):
        if stream is None or not stream.isatty():
            return f"the {name} is no terminal, so there are no screens (with ssh, add -t)"
    if os.environ.get("TERM", "dumb") in ("", "dumb"):
        return "this terminal (TERM=dumb) cannot show screens"
    return ""
