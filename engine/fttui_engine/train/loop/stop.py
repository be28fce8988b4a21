"""The wish to stop: a file that the supervisor writes, or SIGTERM; both are only looked at between steps."""

import signal
from types import FrameType

from fttui_engine.runs.attempt import Attempt
from fttui_engine.runs.pulse import PulseWriter
from fttui_engine.train.errors import StopRequestedError
from fttui_engine.train.ranks.group import Ranks


class StopFlag:
    """Whether this attempt has been asked to stop; all its ranks answer the same at the same place."""

    def __init__(
        self, attempt: Attempt, ranks: Ranks | None = None, pulse: PulseWriter | None = None
    ) -> None:
        self._attempt = attempt
        self._pulse = pulse
        self._ranks = ranks or Ranks()
        self._signalled = False

    def listen(self) -> None:
        """Let SIGTERM and SIGINT ask for a stop; a second one ends the process at once, as it would have by default."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # Saving here would catch the optimizer in the middle of a step; the step boundary looks at the flag.
        self._signalled = True
        signal.signal(number, signal.SIG_DFL)

    def _seen_here(self) -> bool:
        """Whether this rank has seen the wish; costs one stat on the first rank (2 us locally, about 1 ms on NFS)."""
        if self._pulse:
            # It is asked wherever something has been done: a step, a batch of an evaluation, some records.
            self._pulse.beat()
        return self._signalled or (self._ranks.is_reporter and self._attempt.stop_requested())

    def requested(self) -> bool:
        """Whether any rank has seen the wish; every rank has to ask (0.9 ms for two on a busy host)."""
        return self._ranks.any(self._seen_here())

    def check(self) -> None:
        """Raise StopRequestedError on every rank if any has seen the wish; every rank has to ask."""
        if self.requested():
            raise StopRequestedError

    def check_alone(self) -> None:
        """Raise StopRequestedError if this rank has seen the wish, while the others wait for it."""
        if self._seen_here():
            raise StopRequestedError
