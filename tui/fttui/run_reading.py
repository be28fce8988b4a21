"""What is read of runs for the screens: the summaries of all, and the history of the one that is looked at."""

import time
from collections import deque
from pathlib import Path

from fttui.history import History
from fttui.snapshot import LogWindow, RunDetail, harmless
from fttui_engine.runs import events as run_events
from fttui_engine.runs.listing import Listing
from fttui_engine.runs.logs import LogFollower, one_line, tail
from fttui_engine.runs.metrics import MetricsFollower
from fttui_engine.runs.recording import starred
from fttui_engine.runs.run import Run, all_runs
from fttui_engine.runs.summary import RunSummary, summarize

ENDED_RUN_REREAD_SECONDS = 30.0
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
            self._lines = deque(map(starred, tail(path, LOG_LINES)), maxlen=LOG_LINES)
            self._lines_seen = len(self._lines)
            return True
        added = self._log.poll()
        self._lines.extend(map(starred, added[-LOG_LINES:]))
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
