"""What the screens show: one immutable picture of everything, taken once a second.

A snapshot is also the gate between the outside and the terminal: every text in it went through ``one_line`` or
``plain_text``, every number is a number. Screens draw snapshots and read no files.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fttui.gpu_history import GpuTrail
from fttui.gpu_users import GpuUser
from fttui.history import Point, number
from fttui_engine.hardware.gpus import GpuReport
from fttui_engine.hardware.host import Host
from fttui_engine.runs.checkpoints import Checkpoint
from fttui_engine.runs.events import Event
from fttui_engine.runs.journal import ExitVerdict
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import RunSummary

NUMBERS = ("step", "max_steps", "loss", "tokens_per_second", "step_seconds", "eta_seconds", "epoch")
NOWHERE = Path()
"""The folder of a run that has none yet."""

TIMES = ("started_at", "ended_at", "updated_at", "stop_deadline")


@dataclass(frozen=True, slots=True)
class Hardware:
    """What this machine has, as last read; the readings are ``None`` until the first one came back."""

    gpus: GpuReport | None = None
    host: Host | None = None
    disk_free_bytes: int | None = None
    read_at: float = 0.0
    users: Mapping[int, GpuUser] = field(default_factory=dict)
    """Whose the processes on the GPUs are, by pid."""
    trails: Mapping[int, GpuTrail] = field(default_factory=dict)
    """What the GPUs did lately, by index."""

    def users_seen(self, pids: Iterable[int]) -> bool:
        """Whether any of these processes can be seen from here; in a container those of the host cannot."""
        return any(pid in self.users and self.users[pid].account for pid in pids)


@dataclass(frozen=True, slots=True)
class LogWindow:
    """The end of a log: its lines, and how many lines were dropped or skipped before them."""

    path: Path | None = None
    first: int = 0
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunDetail:
    """The history of the selected run."""

    run_id: str
    losses: tuple[Point, ...] = ()
    evaluations: tuple[Point, ...] = ()
    best_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    gpu_memory_peak_bytes: float | None = None
    events: tuple[Event, ...] = ()
    log: LogWindow = LogWindow()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the screens show at one moment."""

    taken_at: float
    runs: tuple[RunSummary, ...] = ()
    hardware: Hardware = Hardware()
    detail: RunDetail | None = None
    problem: str = ""
    """Why the run directories cannot be read, if so."""
    is_recorded: bool = False
    """Whether it is a recording's: no clock runs in it."""

    def run(self, run_id: str | None) -> RunSummary | None:
        """Return the summary of a run, ``None`` where there is no such run."""
        return next((each for each in self.runs if each.id == run_id), None)


def in_order(summaries: Iterable[RunSummary]) -> tuple[RunSummary, ...]:
    """Sort runs as the table lists them: the live ones first, in each group the latest first.

    Those that wait in the queue stand below the others that live, the first to be queued first.
    """
    return tuple(sorted(summaries, key=_rank))


def _rank(summary: RunSummary) -> tuple[int, float, str]:
    if summary.state is State.QUEUED:
        return 1, summary.created_at, summary.id
    return 0 if summary.state.is_live else 2, -_moment(summary), summary.id


def _moment(summary: RunSummary) -> float:
    return summary.created_at if summary.state.is_live else summary.ended_at or summary.created_at


def harmless(summary: RunSummary) -> RunSummary:
    """Return a summary without anything that a terminal would obey or a formatter would choke on.

    Its files are written by programs that are not ours too, and by later releases.
    """
    fields: dict[str, Any] = {name: number(getattr(summary, name)) for name in (*NUMBERS, *TIMES)}
    for name in ("step", "max_steps"):
        fields[name] = int(fields[name]) if fields[name] is not None and math.isfinite(fields[name]) else None
    return summary._replace(
        **fields,
        id=one_line(summary.id),
        name=one_line(summary.name),
        detail=one_line(summary.detail),
        phase=one_line(summary.phase) if isinstance(summary.phase, str) else None,
        host=one_line(summary.host),
        exit=_harmless_verdict(summary.exit),
        command=tuple(one_line(word) for word in summary.command),
        checkpoints=tuple(each for each in summary.checkpoints if isinstance(each, Checkpoint)),
    )


def placeholder(name: str, now: float) -> RunSummary:
    """Return a row for a run that is being started and has no folder yet."""
    fields: dict[str, Any] = dict.fromkeys(RunSummary._fields)
    fields.update(
        id=name, name=name, kind="train", state=State.STARTING, detail="", attempt=1, created_at=now
    )
    fields.update(host="", checkpoints=(), command=(), run_dir=NOWHERE, output_dir=NOWHERE, log_path=NOWHERE)
    return RunSummary(**fields)


def _harmless_verdict(verdict: ExitVerdict | None) -> ExitVerdict | None:
    if verdict is None:
        return None
    return verdict._replace(
        kind=one_line(verdict.kind), message=one_line(verdict.message), advice=one_line(verdict.advice)
    )
