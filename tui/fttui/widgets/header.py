"""The top line: where we are, how many runs there are, what is left of the disk."""

import time
from collections import Counter
from collections.abc import Sequence

from fttui import figures
from fttui.lines import Line, Role, Span, line, spread, width_of
from fttui.snapshot import Snapshot
from fttui.widgets.snapshot_panel import SnapshotPanel
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.states import State

STALE_SECONDS = 5.0
SHOWN_STATES: tuple[tuple[State, Role], ...] = (
    (State.RUNNING, "good"),
    (State.STARTING, "accent"),
    (State.STOPPING, "warn"),
    (State.QUEUED, "accent"),
    (State.FAILED, "bad"),
    (State.INTERRUPTED, "bad"),
    (State.PARKED, "warn"),
)


class HeaderLine(SnapshotPanel):
    """Shows the header of a snapshot."""

    def draw(self, width: int, _height: int) -> Sequence[Line]:
        """Return the one line."""
        snapshot = self._snapshot
        now = snapshot.taken_at if snapshot and snapshot.is_recorded else time.time()
        return [header_line(snapshot, width, now)]


def header_line(snapshot: Snapshot | None, width: int, now: float) -> Line:
    """Return the header; data that stopped coming is said to be old."""
    if snapshot is None:
        return line(Span(" fttui", "strong"), Span("  reading ...", "dim"))
    host = snapshot.hardware.host
    left = [Span(" fttui", "strong"), Span(f"  {one_line(host.hostname) if host else ''}  ")]
    counts = Counter(summary.state for summary in snapshot.runs)
    for state, role in SHOWN_STATES:
        if counts[state]:
            left += [Span(f" {state} {counts[state]} ", role)]
    old = now - snapshot.taken_at
    if snapshot.is_recorded:
        left += [Span(" recording ", "warn")]
    if snapshot.problem:
        left += [Span(f" {snapshot.problem} ", "bad")]
    if old > STALE_SECONDS:
        left += [Span(f" nothing new for {figures.age(old)} ", "bad")]
    room = width - width_of(left)
    return spread(tuple(left), _right(snapshot, room, now), width)


def _right(snapshot: Snapshot, room: int, now: float) -> Line:
    """Return as much of disk, load and clock as the left side leaves room for; the clock goes last."""
    host = snapshot.hardware.host
    parts = [time.strftime("%H:%M", time.localtime(now))]
    if host is not None:
        free = f"{figures.memory(snapshot.hardware.disk_free_bytes)} free"
        parts += [free, f"load {host.load_average[0]:.0f}"]
    while len(parts) > 1 and len("  ".join(parts)) + 2 > room:
        parts.pop()
    return line(Span("  ".join(reversed(parts)) + " ", "dim"))
