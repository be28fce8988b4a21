"""The states of a run and the ways between them."""

from enum import StrEnum


class State(StrEnum):
    """Where a run stands; the words are a documented, stable interface."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Something outside the run ended it: a reboot, a host shutdown."""
    PARKED = "parked"
    """Only a person can say how to go on."""

    @property
    def is_live(self) -> bool:
        """Whether something is, or soon will be, at work."""
        return self in LIVE

    @property
    def is_failure(self) -> bool:
        """Whether a script that waited for the run should see an error."""
        return self in (State.FAILED, State.INTERRUPTED, State.PARKED)


LIVE = frozenset({State.QUEUED, State.STARTING, State.RUNNING, State.STOPPING})

_ENDED = frozenset(State) - LIVE

_NEXT: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.STARTING, State.STOPPING}) | _ENDED,
    # Back in line, where somebody else took the GPU before the attempt had a process.
    State.STARTING: frozenset({State.RUNNING, State.STOPPING, State.QUEUED}) | _ENDED,
    # Starting again by itself, after a failure; where its GPU was lost, in line for another one.
    State.RUNNING: frozenset({State.STARTING, State.STOPPING, State.QUEUED}) | _ENDED,
    # Back to Slurm's queue, when its time limit is why it was stopped.
    State.STOPPING: frozenset({State.QUEUED}) | _ENDED,
    **{ended: frozenset({State.STARTING, State.QUEUED}) for ended in _ENDED},
}


def can_follow(now: State, then: State) -> bool:
    """Say whether a run in state ``now`` may go to ``then``; staying is always allowed."""
    return now is then or then in _NEXT[now]
