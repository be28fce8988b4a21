"""``fttui install-autostart``: runs are looked after when this host has booted."""

import sys
from argparse import Namespace

from fttui_engine.errors import ExitCode
from fttui_engine.launch import autostart
from fttui_engine.runs.logs import one_line


def install(arguments: Namespace) -> int:
    """Install it, or take it away; say what was done and what is missing."""
    done = autostart.remove() if arguments.remove else autostart.install()
    for sentence in done.did:
        print(one_line(f"fttui: {sentence}"), file=sys.stderr)
    for sentence in done.missing:
        print(one_line(f"fttui: note: {sentence}"), file=sys.stderr)
    if not arguments.remove:
        print(
            "fttui: at boot, queued runs wait on, and runs with run.resume_after_reboot: true go on",
            file=sys.stderr,
        )
    return ExitCode.DONE
