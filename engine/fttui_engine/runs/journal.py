"""Where a run stands: ``state.json``, a cache that the events can rebuild, and the one place that changes both."""

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from fttui_engine.runs.events import Event, read_events, write_event
from fttui_engine.runs.files import (
    SCHEMA,
    DamagedFileError,
    Json,
    attempt_number,
    moment,
    read_json,
    write_json,
)
from fttui_engine.runs.states import State, can_follow

if TYPE_CHECKING:
    from fttui_engine.runs.run import Run


class ExitVerdict(NamedTuple):
    """How the last attempt ended, for programs (``kind``, ``code``, ``signal``) and for people."""

    kind: str
    code: int | None
    signal: int | None
    message: str
    advice: str


class RunState(NamedTuple):
    """The content of ``state.json``."""

    state: State
    attempt: int
    seq: int
    created_at: float
    started_at: float | None
    """When the first attempt began."""
    attempt_started_at: float | None
    ended_at: float | None
    detail: str
    """What is going on within the state, for humans."""
    stop_deadline: float | None
    """When a stopping run is killed if it has not saved by then."""
    exit: ExitVerdict | None


def new_state(attempt: int = 1) -> RunState:
    """Return the state of a run that was just created."""
    return RunState(State.STARTING, attempt, 0, time.time(), None, None, None, "", None, None)


def read_state(run: "Run") -> RunState:
    """Return where the run stands; a missing or damaged ``state.json`` is rebuilt in memory from the events."""
    try:
        value = read_json(run.state_path)
        if value is not None:
            return _from_json(value)
    except (DamagedFileError, KeyError, TypeError, ValueError, OverflowError):
        pass
    return rebuild_state(run)


def rebuild_state(run: "Run") -> RunState:
    """Return the state that the events tell of; times and verdict as far as they are known.

    A run whose folder is gone is parked: whoever waits for its end must not wait for ever.
    """
    state = new_state(run.latest_attempt_number())
    if not run.path.is_dir():
        return state._replace(state=State.PARKED, detail="it was deleted")
    events = read_events(run.events_path)
    if events:
        state = state._replace(created_at=events[0].time)
    for event in events:
        state = state._replace(seq=max(state.seq, event.seq), attempt=event.attempt or state.attempt)
        if event.event == "attempt_started":
            state = state._replace(
                started_at=state.started_at or event.time,
                attempt_started_at=event.time,
                ended_at=None,
                exit=None,
            )
        if event.state is None:
            continue
        state = state._replace(state=event.state, detail="")
        if event.state in (State.STARTING, State.QUEUED):
            state = state._replace(ended_at=None, exit=None, attempt_started_at=None)
        if not event.state.is_live:
            state = state._replace(ended_at=event.time, exit=_verdict(event.data.get("exit")))
    return state


class Journal:
    """Writes a run's state and events; only whoever is in charge of the run holds one."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        damaged = _is_damaged(run)
        self.state = read_state(run)
        if damaged:
            aside = run.state_path.with_name(f"state.json.damaged-{time.time_ns()}")
            os.replace(run.state_path, aside)
            self.note(
                "state_rebuilt", f"state.json was damaged; rebuilt from the events, kept as {aside.name}"
            )

    def note(self, event: str, message: str, changes: Json | None = None, **data: object) -> None:
        """Record something that leaves the run in its state; ``changes`` are other fields of RunState."""
        self.state = self.state._replace(seq=self.state.seq + 1, **(changes or {}))
        self._record(event, None, message, data)

    def move(self, state: State, event: str, message: str, **changes: object) -> None:
        """Go to ``state``: the event first, since the state file can be rebuilt from it and not the other way round.

        ``changes`` are fields of RunState; raises ValueError on a way that the table of states does not have.
        """
        if not can_follow(self.state.state, state):
            raise ValueError(f"a {self.state.state} run cannot become {state}")
        fields: Json = {"detail": "", **changes}
        self.state = self.state._replace(state=state, seq=self.state.seq + 1, **fields)
        verdict = self.state.exit
        data: Json = {"exit": verdict._asdict()} if verdict and not state.is_live else {}
        self._record(event, state, message, data)

    def describe(self, detail: str) -> None:
        """Say what is going on within the present state, without an event."""
        if detail != self.state.detail:
            self.state = self.state._replace(detail=detail)
            self._write_state()

    def _record(self, event: str, state: State | None, message: str, data: Json) -> None:
        seq, attempt = self.state.seq, self.state.attempt
        write_event(self._run.events_path, Event(time.time(), seq, event, attempt, state, message, data))
        self._write_state()

    def _write_state(self) -> None:
        value: Json = {"schema": SCHEMA, **self.state._asdict()}
        value["exit"] = self.state.exit._asdict() if self.state.exit else None
        write_json(self._run.state_path, value)


def _is_damaged(run: "Run") -> bool:
    try:
        value = read_json(run.state_path)
        if value is not None:
            _from_json(value)
    except (DamagedFileError, KeyError, TypeError, ValueError, OverflowError):
        return run.state_path.exists()
    return False


def _from_json(value: Json) -> RunState:
    return RunState(
        state=State(value["state"]),
        attempt=attempt_number(value["attempt"]),
        seq=int(value["seq"]),
        created_at=_moment(value["created_at"]),
        started_at=_time(value.get("started_at")),
        attempt_started_at=_time(value.get("attempt_started_at")),
        ended_at=_time(value.get("ended_at")),
        detail=str(value.get("detail") or ""),
        stop_deadline=_time(value.get("stop_deadline")),
        exit=_verdict(value.get("exit")),
    )


def _moment(value: object) -> float:
    if (found := moment(value)) is None:
        raise ValueError(f"not a time: {value!r}")
    return found


def _time(value: object) -> float | None:
    return None if value is None else _moment(value)


def _verdict(value: object) -> ExitVerdict | None:
    if not isinstance(value, dict):
        return None
    code, signal = value.get("code"), value.get("signal")
    return ExitVerdict(
        kind=str(value.get("kind", "unknown")),
        code=code if isinstance(code, int) else None,
        signal=signal if isinstance(signal, int) else None,
        message=str(value.get("message", "")),
        advice=str(value.get("advice", "")),
    )
