"""Runs all checks at once, each in a thread and with a deadline: a disk or driver that hangs is a finding, no hang."""

import time
from threading import Event, Thread

from fttui_engine.doctor.finding import Check, Finding


class Examination:
    """The checks of one visit; they begin at once, and what hangs is left behind."""

    def __init__(self, checks: list[Check]) -> None:
        self._begun_at = time.monotonic()
        self._changed = Event()
        self._parts = [_Part(check, self._changed) for check in checks]

    def findings(self) -> tuple[Finding, ...]:
        """What is known by now, in the order of the checks; one that is late says so."""
        seconds = time.monotonic() - self._begun_at
        return tuple(finding for part in self._parts for finding in part.findings(seconds))

    def pending(self) -> tuple[str, ...]:
        """The subjects that are still looked at."""
        seconds = time.monotonic() - self._begun_at
        return tuple(part.check.subject for part in self._parts if part.is_pending(seconds))

    def close(self) -> None:
        """Give up what is still looked at: nobody waits for it any more."""
        for part in self._parts:
            part.check.give_up()

    def wait(self) -> tuple[Finding, ...]:
        """All findings, once each check has ended or missed its deadline."""
        while self.pending():
            self._changed.wait(0.1)
            self._changed.clear()
        return self.findings()


class _Part:
    def __init__(self, check: Check, changed: Event) -> None:
        self.check = check
        self._changed = changed
        self._found: tuple[Finding, ...] | None = None
        Thread(target=self._look, daemon=True, name=f"fttui-doctor-{check.subject}").start()

    def _look(self) -> None:
        try:
            found = tuple(self.check.look())
        except Exception as error:  # noqa: BLE001 - one check that breaks must not hide what the others found
            text = f"this could not be looked at: {type(error).__name__}: {error}"
            found = (Finding(self.check.subject, "warning", text, "report it; the other findings hold"),)
        self._found = found
        self._changed.set()

    def is_pending(self, seconds: float) -> bool:
        return self._found is None and seconds < self.check.deadline_seconds

    def findings(self, seconds: float) -> tuple[Finding, ...]:
        if self._found is not None:
            return self._found
        if self.is_pending(seconds):
            return ()
        text = f"no answer within {self.check.deadline_seconds:.0f} s: something that it asks hangs"
        fix = "look for a network disk or driver that does not answer (dmesg, df); runs would wait for it too"
        return (Finding(self.check.subject, "warning", text, fix),)
