"""The supervisor's line to its keeper, and what becomes of both when the keeper is killed."""

import os
import select
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from fttui_engine.errors import FttuiError, NoSuchRunError
from fttui_engine.runs.journal import Journal
from fttui_engine.runs.lock import charge_lock
from fttui_engine.runs.run import Run
from fttui_engine.supervise.evidence import recorded_keeper
from fttui_engine.supervise.pidfd import ProcessWatch
from fttui_engine.supervise.spawn import keeper_is_alive, spawn_keeper


class KeeperLink:
    """The socket to the keeper; its end of file is how its death is noticed at once."""

    def __init__(
        self, run: Run, journal: Journal, keeper: socket.socket, witness: Callable[[], object]
    ) -> None:
        """``witness`` writes down what this process alone saw of the attempt's end."""
        self._run, self._journal, self._keeper, self._witness = run, journal, keeper, witness
        self._parent = recorded_keeper(run)

    def wait(self, watch: ProcessWatch | None, seconds: float) -> None:
        """Sleep until the keeper or the watched process has something to say, or the time is over."""
        sources = [self._keeper.fileno()]
        if watch is not None and watch.fileno() >= 0:
            sources.append(watch.fileno())
        ready, _, _ = select.select(sources, [], [], seconds)
        if self._keeper.fileno() in ready and not self._keeper.recv(64):
            self._replace_keeper()

    def send(self, message: str, descriptors: list[int]) -> None:
        """Tell the keeper something, and give it open files with it."""
        try:
            socket.send_fds(self._keeper, [message.encode()], descriptors)
        except OSError:
            self._replace_keeper()

    def _replace_keeper(self) -> NoReturn:
        """The keeper was killed: put another in place, whose own supervisor takes over from this one.

        Where no keeper can be started (no memory, a full disk) this tries on: nobody else would take care of the run
        before somebody looks at it.
        """
        for pause_seconds in (1.0, 2.0, 4.0, 8.0, 16.0, *[30.0] * 2880):
            try:
                # The kernel closes a dying process's files before it counts as dead, so it may still look alive.
                while self._parent is not None and self._parent.is_alive:
                    time.sleep(0.005)
                self._witness()
                with charge_lock(self._run):
                    if not keeper_is_alive(self._run):
                        self._journal.note("keeper_replaced", "The keeper was killed; another one took over.")
                        spawn_keeper(self._run)
                break
            except NoSuchRunError:
                break
            except (FttuiError, OSError) as error:
                with suppress(OSError):  # the disk of its log may be full
                    print(f"no new keeper yet: {error}", file=sys.stderr, flush=True)
                time.sleep(pause_seconds)
        os._exit(1)
