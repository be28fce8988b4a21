"""The threads that read: run directories once a second, the hardware once a second, adoption now and then.

They are daemon threads of their own and not Textual workers, which a program waits for at its end. Nothing but
``post`` leads from them to the screens. The hardware has a thread to itself because a GPU that hangs holds a driver
call for tens of seconds, and so may a network disk; the runs must stay on the screen meanwhile. Each GPU has threads
of its own besides (``hardware.gpu_watch``).
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from fttui.history import History
from fttui.snapshot import Hardware, LogWindow, RunDetail, Snapshot, harmless, in_order
from fttui_engine.errors import FttuiError
from fttui_engine.runs import events as run_events
from fttui_engine.runs.home import state_home
from fttui_engine.runs.listing import Listing
from fttui_engine.runs.logs import LogFollower, one_line, tail
from fttui_engine.runs.metrics import MetricsFollower
from fttui_engine.runs.run import Run, all_runs
from fttui_engine.runs.summary import RunSummary, summarize

if TYPE_CHECKING:
    from fttui.recording import Recording

BUSY_POLL_SECONDS = 0.05
"""While an action is under way its effect is looked for this often: a key must show within 200 ms."""
ADOPTION_SECONDS, ADOPTION_DELAY_SECONDS = 10.0, 0.5
ENDED_RUN_REREAD_SECONDS = 30.0
FIRST_FRAME_SECONDS, FIRST_LOOK_SECONDS = 3.0, 0.02
GPUS_COME_SECONDS = 0.15
"""So long the first snapshot waits for the GPUs: a frame without them is 20 kB at 200x50 that are sent in vain."""
METRICS_BYTES = 4 * 2**20
"""What is read of a long history between two snapshots: 80 ms, for the other runs must go on."""
LOG_LINES = 200
"""More than any screen is high; the log view reads the file itself."""


class RunFollower:
    """Follows the history of one run: metrics, events, the log of its latest attempt."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._metrics = MetricsFollower(run.metrics_path)
        self._history = History()
        self._log_path: Path | None = None
        self._log: LogFollower | None = None
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        self._lines_seen = 0
        self._events_size = -1
        self._events: list[run_events.Event] = []
        self._detail = RunDetail(run.id)

    def poll(self, log_path: Path) -> RunDetail:
        """Return the run's history, the same object as before if nothing was added."""
        changed = [self._poll_metrics(), self._poll_events(), self._poll_log(log_path)]
        if any(changed):
            window = LogWindow(self._log_path, self._lines_seen - len(self._lines), tuple(self._lines))
            self._detail = self._put_together(window)
        return self._detail

    def _put_together(self, window: LogWindow) -> RunDetail:
        return RunDetail(
            run_id=self.run.id,
            losses=self._history.losses.points(),
            evaluations=self._history.evaluations.points(),
            best_loss=self._history.best_loss,
            learning_rate=self._history.latest("learning_rate"),
            grad_norm=self._history.latest("grad_norm"),
            gpu_memory_peak_bytes=self._history.latest("gpu_memory_peak_bytes"),
            events=tuple(self._events),
            log=window,
        )

    @property
    def has_more(self) -> bool:
        """Whether there is more to read of a long history."""
        return self._metrics.has_more

    def _poll_metrics(self) -> bool:
        news = self._metrics.poll(METRICS_BYTES)
        if news:
            self._history.update(news)
        return news is not None

    def _poll_events(self) -> bool:
        size = _size(self.run.events_path)
        if size == self._events_size:
            return False
        self._events_size = size
        self._events = [
            event._replace(message=one_line(event.message), event=one_line(event.event))
            for event in run_events.read_events(self.run.events_path)
        ]
        return True

    def _poll_log(self, path: Path) -> bool:
        if path != self._log_path or self._log is None:
            # The follower is placed first: a line written between the two is then shown twice rather than never.
            self._log_path, self._log = path, LogFollower(path)
            self._lines = deque(tail(path, LOG_LINES), maxlen=LOG_LINES)
            self._lines_seen = len(self._lines)
            return True
        added = self._log.poll()
        self._lines.extend(added)
        self._lines_seen += len(added)
        return bool(added)


class RunReader:
    """Summarizes all runs; an ended run is read again only when its folder changed or half a minute has passed."""

    def __init__(self, *, keeps_index: bool = True) -> None:
        self._ended: dict[str, tuple[int, float, RunSummary]] = {}
        self._is_first, self._keeps_index = True, keeps_index

    def read(self, home: Path) -> list[RunSummary]:
        """Return the summaries of all runs."""
        if self._is_first:
            self._is_first = False
            return [
                self._kept(harmless(summary))
                for summary in Listing(home, keeps_index=self._keeps_index).summaries()
            ]
        runs = all_runs(home)
        ended = {run.id: self._ended[run.id] for run in runs if run.id in self._ended}
        self._ended = ended
        return [self._summary(run) for run in runs]

    def _summary(self, run: Run) -> RunSummary:
        changed_at, now = _changed_at(run.path), time.monotonic()
        if known := self._ended.get(run.id):
            known_changed_at, read_at, summary = known
            if known_changed_at == changed_at and now - read_at < ENDED_RUN_REREAD_SECONDS:
                return summary
        return self._kept(harmless(summarize(run)), changed_at)

    def _kept(self, summary: RunSummary, changed_at: int | None = None) -> RunSummary:
        if summary.state.is_live:
            self._ended.pop(summary.id, None)
        else:
            changed_at = _changed_at(summary.run_dir) if changed_at is None else changed_at
            self._ended[summary.id] = (changed_at, time.monotonic(), summary)
        return summary


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


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
