"""The terminal as seen from SSH: it can vanish at any time, and every byte to it is paid for.

Textual 8.2.8 handles neither. When SIGHUP is ignored or lost, it stays alive after its terminal is gone and spins on
end-of-file with half a core; SIGTERM leaves the terminal in raw mode on the alternate screen.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType

TERMINAL_GONE = 129
"""The exit code: what a shell reports for a program that SIGHUP ended."""

CLEAN_EXIT_SECONDS = 1.0
"""How long a clean exit may take; on a terminal that no longer reads, it would wait for ever."""


def prepare_environment() -> None:
    """Choose what Textual reads once at its import; called before that, and a user's own choice wins.

    Animations are 90 % of the bytes of scrolling; more than 20 frames a second nobody sees over SSH.
    """
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_FPS", "20")
    if os.environ.get("STY") and os.environ.get("TERM", "").startswith("screen"):
        # GNU screen misreads 24-bit colours, but inherits the variable that promises them.
        os.environ.pop("COLORTERM", None)
    with contextlib.suppress(OSError):
        if os.get_terminal_size(2).columns:
            # A shell that exports them means its own start: Textual believes them, and would not see a resize.
            os.environ.pop("COLUMNS", None)
            os.environ.pop("LINES", None)


def guard_terminal(file_descriptors: Sequence[int], ask_to_exit: Callable[[], object]) -> None:
    """Make sure that this process does not outlive its terminal; called from the main thread.

    SIGHUP and SIGTERM ask for a clean exit, which restores the terminal, and get it or an abrupt one. A hang-up of
    one of the terminals ends the process at once, whether or not a signal tells of it.
    """
    signalled, tell = os.pipe()
    os.set_blocking(tell, False)
    hang_up = select.poll()
    for descriptor in file_descriptors:
        # Polling for no event reports hang-ups and errors only: it takes no input away and sleeps until then.
        hang_up.register(descriptor, 0)
    hang_up.register(signalled, select.POLLIN)

    def watch() -> None:
        if [descriptor for descriptor, _ in hang_up.poll()] == [signalled]:
            hang_up.unregister(signalled)
            hang_up.poll(CLEAN_EXIT_SECONDS * 1000)
        os._exit(TERMINAL_GONE)

    def leave(_signal: int, _frame: FrameType | None) -> None:
        # No lock is taken here: the handler may interrupt code that holds it.
        with contextlib.suppress(BlockingIOError):
            os.write(tell, b"x")
        ask_to_exit()

    threading.Thread(target=watch, daemon=True, name="fttui-terminal-guard").start()
    # Python's handlers and not asyncio's: they also run while the event loop is stuck in a write to a terminal that
    # does not read.
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, leave)
