"""The way into the screens; Textual is imported only after its environment is prepared."""

import asyncio
import os
import sys
import threading
import traceback
from pathlib import Path

from fttui.terminal import TERMINAL_GONE, guard_terminal, prepare_environment


def run_app(home: Path | None = None, *, select: str | None = None, opens_run: bool = False) -> int:
    """Show the cockpit until it is left and return the exit code.

    ``select`` is the id of the run to begin with; ``opens_run`` shows it in full at once.
    """
    if home is not None:
        os.environ["FTTUI_HOME"] = str(home)
    prepare_environment()
    return asyncio.run(_run(home, select, opens_run=opens_run))


async def _run(home: Path | None, select: str | None, *, opens_run: bool) -> int:
    from fttui.cockpit import Cockpit
    from fttui.messages import ThreadCrashed

    cockpit = Cockpit(home, select=select, opens_run=opens_run)
    loop = asyncio.get_running_loop()

    def report_crash(crash: threading.ExceptHookArgs) -> None:
        report = "".join(traceback.format_exception(crash.exc_type, crash.exc_value, crash.exc_traceback))
        cockpit.post_from_thread(ThreadCrashed(f"fttui stopped because of an error of its own:\n{report}"))

    def ask_to_exit() -> None:
        loop.call_soon_threadsafe(cockpit.exit, None, TERMINAL_GONE)

    threading.excepthook = report_crash
    guard_terminal([stream.fileno() for stream in (sys.__stdin__, sys.__stderr__) if stream], ask_to_exit)
    # Without mouse reports the terminal's own selection and copying work, and moving the mouse costs no traffic.
    await cockpit.run_async(mouse=False)
    return cockpit.return_code or 0
