"""The thread that reads a log: a file on a network drive may not answer for a while, and keys must."""

from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from fttui.log.options import Options
from fttui.log.page import LogPage
from fttui.log.pager import Pager

IDLE_SECONDS = 1.0
"""A screenful that moves up by some lines is 4 kB at 80x24: what is followed is drawn once a second, as all else."""
BUSY_SECONDS = 0.05

Wish = Callable[[Pager], object]


class LogReader:
    """Does to a pager what is asked for, and hands each new page to ``post``."""

    def __init__(self, path: Path, options: Options, post: Callable[[LogPage], object]) -> None:
        self.path = path
        self._options, self._post = options, post
        self._wishes: SimpleQueue[Wish | None] = SimpleQueue()
        Thread(target=self._read, daemon=True, name="fttui-log").start()

    def ask(self, wish: Wish) -> None:
        """Have something done to the pager."""
        self._wishes.put(wish)

    def close(self) -> None:
        """End the thread."""
        self._wishes.put(None)

    def _read(self) -> None:
        pager = Pager(self.path, self._options)
        last: LogPage | None = None
        try:
            while True:
                is_busy = pager.look()
                page = pager.page()
                if page != last:
                    last = page
                    self._post(page)
                wishes = self._wait(BUSY_SECONDS if is_busy else IDLE_SECONDS)
                for wish in wishes:
                    if wish is None:
                        return
                    wish(pager)
        finally:
            pager.close()

    def _wait(self, seconds: float) -> list[Wish | None]:
        """Return all that was asked for, as soon as there is anything."""
        wishes: list[Wish | None] = []
        try:
            wishes.append(self._wishes.get(timeout=seconds))
            while True:
                wishes.append(self._wishes.get_nowait())
        except Empty:
            return wishes
