"""The threads that read: run directories once a second, the hardware once a second, adoption now and then.

They are daemon threads of their own and not Textual workers, which a program waits for at its end. Nothing but
``post`` leads from them to the screens. The hardware has a thread to itself because a GPU that hangs holds a driver
call for tens of seconds, and so may a network disk; the runs must stay on the screen meanwhile. Each GPU has threads
of its own besides (``hardware.gpu_watch``).
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from fttui.run_reading import RunFollower, RunReader
from fttui.snapshot import Hardware, RunDetail, Snapshot, in_order
from fttui_engine.errors import FttuiError
from fttui_engine.runs.home import state_home
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.run import Run
from fttui_engine.runs.summary import RunSummary

if TYPE_CHECKING:
    from fttui.recording import Recording

BUSY_POLL_SECONDS = 0.05
"""While an action is under way its effect is looked for this often: a key must show within 200 ms."""
ADOPTION_SECONDS, ADOPTION_DELAY_SECONDS = 10.0, 0.5
FIRST_FRAME_SECONDS, FIRST_LOOK_SECONDS = 3.0, 0.02
GPUS_COME_SECONDS = 0.1
"""So long the first snapshot waits for the GPUs: a frame without them is 20 kB at 200x50 that are sent in vain."""


class Collector:
    """Takes a snapshot a second, at once after ``wake``, and hands it to ``post``."""

    def __init__(
        self,
        home: Path | None,
        post: Callable[[Snapshot], object],
        *,
        poll_seconds: float = 1.0,
        adopts: bool = True,
        recording: "Recording | None" = None,
    ) -> None:
        self._home = home or state_home()
        self._poll_seconds, self._adopts = poll_seconds, adopts
        self._post = post
        self._runs = RunReader(keeps_index=adopts)
        self._follower: RunFollower | None = None
        self._watched: str | None = None
        self._recording = recording
        self._hardware = recording.hardware if recording else Hardware()
        self._closed, self._woken, self._gpus_known = Event(), Event(), Event()
        self._summaries: list[RunSummary] = []
        self._read_at = -math.inf
        self.busy_actions = 0

    def start(self, on_trouble: Callable[[str], object]) -> None:
        """Start the reading threads; ``on_trouble`` hears of it when runs cannot be adopted."""
        Thread(target=self._collect, daemon=True, name="fttui-collector").start()
        if not self._recording:
            Thread(target=self._read_hardware, daemon=True, name="fttui-hardware").start()
        if self._adopts:
            Thread(target=self._adopt, args=(on_trouble,), daemon=True, name="fttui-adoption").start()

    def watch(self, run_id: str | None) -> None:
        """Say whose history the next snapshots are to hold."""
        if run_id != self._watched:
            self._watched = run_id
            self._woken.set()

    def wake(self) -> None:
        """Take a snapshot now, of runs that may have changed."""
        self._read_at = -math.inf
        self._woken.set()

    def close(self) -> None:
        """End the threads at their next step."""
        self._closed.set()
        self._woken.set()

    def take(self) -> Snapshot:
        """Take a snapshot."""
        taken_at, problem, summaries = time.time(), "", list[RunSummary]()
        try:
            summaries = self._read_runs()
        except OSError as error:
            problem = one_line(f"{self._home} cannot be read: {error.strerror or error}")
        if self._recording:
            taken_at = self._recording.recorded_at
            summaries = [self._recording.as_recorded(each) for each in summaries]
        return Snapshot(
            taken_at,
            in_order(summaries),
            self._hardware,
            self._watched_detail(summaries),
            problem,
            is_recorded=self._recording is not None,
        )

    def _read_runs(self) -> list[RunSummary]:
        """Return the summaries of all runs; of the last look where only another run is selected.

        With 1,000 runs a look takes 20 ms, and who holds down a key selects thirty runs a second.
        """
        now = time.monotonic()
        if self.busy_actions or now - self._read_at >= self._poll_seconds / 2:
            self._summaries, self._read_at = self._runs.read(self._home), now
        return self._summaries

    def _watched_detail(self, summaries: list[RunSummary]) -> RunDetail | None:
        # Where no run is selected yet, the screens are going to select the first.
        watched = self._watched or next((each.id for each in in_order(summaries)), None)
        summary = next((each for each in summaries if each.id == watched), None)
        if summary is None:
            self._follower = None
            return None
        if self._follower is None or self._follower.run.path != summary.run_dir:
            self._follower = RunFollower(Run(summary.run_dir))
        return self._follower.poll(summary.log_path)

    def _collect(self) -> None:
        snapshot = self.take()
        if not self._recording:
            self._gpus_known.wait(GPUS_COME_SECONDS)
            self._woken.clear()
            snapshot = replace(snapshot, hardware=self._hardware)
        while not self._closed.is_set():
            self._post(snapshot)
            is_busy = self.busy_actions or (self._follower and self._follower.has_more)
            self._woken.wait(BUSY_POLL_SECONDS if is_busy else self._poll_seconds)
            self._woken.clear()
            snapshot = self.take()

    def _read_hardware(self) -> None:
        from fttui.gpu_history import GpuHistory
        from fttui.gpu_users import GpuUsers
        from fttui_engine.hardware.gpu_watch import GpuWatch
        from fttui_engine.hardware.host import read_host

        watch, users, history = GpuWatch(period_seconds=self._poll_seconds), GpuUsers(), GpuHistory()
        started_at, told = time.monotonic(), (-1, False)
        while not self._closed.is_set():
            host, gpus = read_host(), watch.look()
            known = gpus.gpus if gpus else ()
            history.add(known, time.time())
            self._hardware = Hardware(
                gpus=gpus,
                host=host,
                disk_free_bytes=host.disk_free_bytes(self._home),
                read_at=time.time(),
                users=users.look(known),
                trails=history.trails(),
            )
            is_complete = gpus is not None and all(each.answers or each.trouble for each in known)
            # What the machine has does not wait for the rhythm, nor for a driver that takes half a minute to open.
            is_beginning = not is_complete and time.monotonic() - started_at < FIRST_FRAME_SECONDS
            if (len(known), is_complete) != told:
                told = len(known), is_complete
                self._woken.set()
            if is_complete:
                self._gpus_known.set()
            self._closed.wait(FIRST_LOOK_SECONDS if is_beginning else self._poll_seconds)
        watch.close()

    def _adopt(self, on_trouble: Callable[[str], object]) -> None:
        # The screens come first: this imports, and looks at each run.
        if self._closed.wait(ADOPTION_DELAY_SECONDS):
            return
        from fttui_engine.launch import verbs
        from fttui_engine.launch.logout import logout_danger

        if danger := logout_danger():
            on_trouble(one_line(danger))
        told = ""
        while not self._closed.is_set():
            try:
                verbs.reconcile(self._home)
            except FttuiError as error:
                if error.message != told:
                    told = error.message
                    on_trouble(f"{error.message}. {error.hint}")
            self.wake()
            self._closed.wait(ADOPTION_SECONDS)
