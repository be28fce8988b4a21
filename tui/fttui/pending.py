"""What was asked for a moment ago and is not in the run directories yet.

A key press must show at once, and starting a process takes longer than that. So the table shows the state that was
asked for, until a snapshot that was taken after the action shows what came of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fttui.snapshot import Snapshot, in_order, placeholder
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import RunSummary


@dataclass(slots=True)
class Pending:
    """One thing asked for: a state of a run, or a run of a new name."""

    state: State
    name: str
    asked_at: float
    done_at: float | None = None
    run_id: str | None = None
    """For a new run: the id that it was given."""

    def is_over(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot knows better."""
        return self.done_at is not None and snapshot.taken_at > self.done_at


class PendingActions:
    """Lays what was asked for over what the run directories say."""

    def __init__(self) -> None:
        self._new: dict[str, Pending] = {}
        self._changes: dict[str, Pending] = {}

    def expect_new(self, key: str, name: str, now: float) -> None:
        """Expect a run of a new name, shown under ``key`` until it has an id."""
        self._new[key] = Pending(State.STARTING, name, now)

    def expect(self, run_id: str, state: State, now: float) -> None:
        """Expect a run to go to a state."""
        self._changes[run_id] = Pending(state, run_id, now)

    def end(self, key: str, now: float, *, failed: bool, run_id: str | None) -> None:
        """Note that an action ended; a failed one is taken back at once."""
        for each in (self._new.get(key), self._changes.get(key)):
            if each is not None:
                each.done_at, each.run_id = 0.0 if failed else now, run_id

    def awaits(self, run_id: str | None) -> bool:
        """Whether a run that no snapshot shows is about to be there."""
        return run_id in self._new or any(each.run_id == run_id for each in self._new.values() if each.run_id)

    def new_id(self, key: str | None, snapshot: Snapshot) -> str | None:
        """Return the id of the run that was expected under ``key``, once a snapshot shows it."""
        expected = self._new.get(key) if key else None
        return _arrived(expected, snapshot) if expected else None

    def lay_over(self, snapshot: Snapshot) -> Snapshot:
        """Return a snapshot as it will soon be."""
        for pending in (self._new, self._changes):
            for key in [key for key, each in pending.items() if each.is_over(snapshot)]:
                del pending[key]
        if not self._new and not self._changes:
            return snapshot
        runs = [self._expected(run) for run in snapshot.runs]
        return replace(snapshot, runs=in_order([*runs, *self._placeholders(snapshot)]))

    def _expected(self, run: RunSummary) -> RunSummary:
        change = self._changes.get(run.id)
        # A run that got there meanwhile, or further, is shown as it is.
        if change is None or (change.state is State.STOPPING) != run.state.is_live:
            return run
        return run._replace(state=change.state, exit=None, detail="")

    def _placeholders(self, snapshot: Snapshot) -> Iterator[RunSummary]:
        for key, each in self._new.items():
            if _arrived(each, snapshot) is None:
                yield placeholder(key, each.asked_at)


def _arrived(expected: Pending, snapshot: Snapshot) -> str | None:
    for run in snapshot.runs:
        if run.id == expected.run_id or (run.name == expected.name and run.created_at >= expected.asked_at):
            return run.id
    return None
