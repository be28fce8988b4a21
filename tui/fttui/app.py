"""The way into the screens; Textual is imported only after its environment is prepared."""

import asyncio
import sys
import threading
import traceback
from typing import TYPE_CHECKING, NamedTuple

from fttui.terminal import TERMINAL_GONE, guard_terminal, prepare_environment

if TYPE_CHECKING:
    from pathlib import Path

    from fttui.editor.document import Source
    from fttui.keys import Scope
    from fttui.recording import Recording
    from fttui.settings import Settings


class Opening(NamedTuple):
    """How the screens begin; without a run where they were left, unless ``is_fresh``."""

    settings: "Settings"
    home: "Path"
    run: str | None = None
    page: "Scope | None" = None
    is_fresh: bool = False
    edits: "Source | None" = None
    recording: "Recording | None" = None
    """What is shown in place of this machine and its runs."""


def run_app(opening: Opening) -> int:
    """Show the cockpit until it is left and return the exit code."""
    prepare_environment()
    return asyncio.run(_run(opening))


async def _run(opening: Opening) -> int:
    from fttui.cockpit import Cockpit
    from fttui.messages import ThreadCrashed
    from fttui.session import Session, read_session

    settings = opening.settings
    session, problem = Session(opening.page or "dashboard", opening.run), ""
    if settings.restore_session and not opening.is_fresh and not opening.run:
        session, problem = read_session(opening.home)
        settings = settings._replace(problems=(*settings.problems, *([problem] if problem else [])))
    cockpit = Cockpit(
        opening.home, session=session, settings=settings, edits=opening.edits, recording=opening.recording
    )
    loop = asyncio.get_running_loop()

    def report_crash(crash: threading.ExceptHookArgs) -> None:
        report = "".join(traceback.format_exception(crash.exc_type, crash.exc_value, crash.exc_traceback))
        cockpit.post_from_thread(ThreadCrashed(f"fttui stopped because of an error of its own:\n{report}"))

    def ask_to_exit() -> None:
        loop.call_soon_threadsafe(cockpit.exit, None, TERMINAL_GONE)

    threading.excepthook = report_crash
    guard_terminal([stream.fileno() for stream in (sys.__stdin__, sys.__stderr__) if stream], ask_to_exit)
    # Without mouse reports the terminal's own selection and copying work, and moving the mouse costs no traffic.
    await cockpit.run_async(mouse=settings.mouse)
    return cockpit.return_code or 0
