"""What happened to a run, in order, each with a sentence for humans."""

from pathlib import Path
from typing import NamedTuple

from fttui_engine.runs.files import Json, append_line, attempt_number, moment, read_lines
from fttui_engine.runs.states import State

_OWN_FIELDS = frozenset({"time", "seq", "event", "attempt", "state", "message"})


_STATES: dict[object, State] = {state.value: state for state in State}
"""A state that only a later release knows is read as none."""


class Event(NamedTuple):
    """One line of ``events.jsonl``."""

    time: float
    seq: int
    event: str
    attempt: int
    state: State | None
    """The state that the run was in afterwards; the last event that has one rebuilds a lost ``state.json``."""
    message: str
    data: Json


def write_event(path: Path, event: Event) -> None:
    """Append one event and make it survive a power cut."""
    value = event._asdict()
    data = value.pop("data")
    append_line(
        path, {**value, **{key: item for key, item in data.items() if key not in value}}, durable=True
    )


def read_events(path: Path) -> list[Event]:
    """Return all events that can be read; garbled lines are passed over."""
    return [event for line in read_lines(path) if line.value and (event := _event(line.value))]


def _event(value: Json) -> Event | None:
    time = moment(value.get("time"))
    if time is None:
        return None
    try:
        return Event(
            time=time,
            seq=int(value["seq"]),
            event=str(value["event"]),
            attempt=attempt_number(value.get("attempt")),
            state=_STATES.get(value.get("state")),
            message=str(value.get("message", "")),
            data={key: item for key, item in value.items() if key not in _OWN_FIELDS},
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
