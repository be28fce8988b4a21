"""Carries what a worker wants noticed into the run's events.

Invariant: a sentence is one event of a run, however often an attempt or its successors say it, and whoever of the
supervisors is killed in between: what was told is read from the events, never from memory alone.
"""

from fttui_engine.runs.attempt import Attempt
from fttui_engine.runs.journal import Journal
from fttui_engine.runs.notices import EVENT, MOST_NOTICES, read_notices, told_notices
from fttui_engine.runs.run import Run


class Notices:
    """The notices of one attempt."""

    def __init__(self, run: Run, attempt: Attempt, journal: Journal) -> None:
        self._run = run
        self._path = attempt.notices_path
        self._journal = journal
        self._offset = 0
        self._seen = 0

    def tell(self) -> None:
        """Record what is new since the last call; where nothing is, it takes one look at a file."""
        sentences, self._offset = read_notices(self._path, self._offset)
        if not sentences:
            return
        told = set(told_notices(self._run.events_path))
        for sentence in sentences[: MOST_NOTICES - self._seen]:
            if sentence not in told:
                told.add(sentence)
                self._journal.note(EVENT, sentence)
        self._seen = min(MOST_NOTICES, self._seen + len(sentences))
