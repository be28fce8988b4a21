"""The way into the screens; Textual is imported only after its environment is prepared."""

import asyncio
import gc
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


SWITCH_SECONDS = 0.0005
"""How soon a thread that reads gives way. A key takes some twenty turns of the event loop, each of which gives up the
interpreter: with Python's 5 ms it was answered in 150 ms while a long history was read."""
START_SECONDS = 2.0
"""After that the screens are there, with all that stays for as long as they do."""


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
    sys.setswitchinterval(SWITCH_SECONDS)
    # A tenth of the start is looking for garbage among what is only being made.
    gc.disable()
    return asyncio.run(_run(opening))


def look_for_garbage() -> None:
    """Collect from here on, but never among what was made at the start."""
    gc.freeze()
    gc.enable()


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
    loop.call_later(START_SECONDS, look_for_garbage)

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
