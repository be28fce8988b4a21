"""The end of an attempt that somebody wished for: told to it, waited for, enforced, and nothing left behind.

All of it is recorded before it is done, so that a supervisor which follows a dead one goes on where that one was.
"""

import signal
import time
from collections.abc import Callable

from fttui_engine.runs.attempt import Attempt
from fttui_engine.runs.commands import KILL, REQUEUE, STOP, Answer, Command
from fttui_engine.runs.events import Event, read_events
from fttui_engine.runs.journal import Journal
from fttui_engine.runs.run import Plan, Run
from fttui_engine.runs.states import State
from fttui_engine.supervise.evidence import recorded_process
from fttui_engine.supervise.grace import (
    LONGEST_GRACE_SECONDS,
    SAVING_ROUND_SECONDS,
    grace_seconds,
    is_saving,
)
from fttui_engine.supervise.tree import kill_run, run_processes, signal_process

LONGEST_TERM_SECONDS = 15.0
"""How long a training that overstayed its grace has after SIGTERM, before SIGKILL; never longer than its grace."""
LEFTOVER_SECONDS = 2.0
"""How long helpers (data loaders, trackers) may outlive the attempt's own process: torch's loaders notice within
this that their parent is gone."""

INTENT_EVENTS = {
    "requeue_requested": "requeue",  # the first, since whatever else is asked for overrides it
    "stop_requested": "stop",
    "kill_requested": "kill",
    "shutdown_requested": "shutdown",
}


class Stop:
    """The wish that an attempt end, from the first word to the last process."""

    def __init__(self, run: Run, plan: Plan, attempt: Attempt, journal: Journal) -> None:
        self._run, self._plan, self._attempt, self._journal = run, plan, attempt, journal
        self._term_seconds = min(LONGEST_TERM_SECONDS, plan.grace_seconds)
        self._recall()

    def _recall(self) -> None:
        """Find out what an earlier supervisor of this attempt was asked for, and how far it got with it."""
        number = self._attempt.number
        events = {each.event: each for each in read_events(self._run.events_path) if each.attempt == number}
        wishes = [intent for event, intent in INTENT_EVENTS.items() if event in events]
        # A kill overrides a stop; a stop is never asked for behind a kill.
        self.intent = "kill" if "kill" in wishes else wishes[-1] if wishes else ""
        """What is wished of the attempt: ``""``, ``stop``, ``kill``, ``shutdown`` or ``requeue``."""
        self._began = time.monotonic() if self.intent else None
        self._delivered = "sigterm_sent" in events
        self._grace_is_over = "grace_over" in events
        self._kill_at = self._recalled_deadline(events)

    def _recalled_deadline(self, events: dict[str, Event]) -> float | None:
        """Return when to enforce a stop that an earlier supervisor began, on this process's own clock."""
        if not self.intent:
            return None
        if self.intent == "kill":
            return time.monotonic()
        span, end = LONGEST_GRACE_SECONDS, self._journal.state.stop_deadline
        if self._grace_is_over:
            span, end = self._term_seconds, events["grace_over"].time + self._term_seconds
        left = self._plan.grace_seconds if end is None else end - time.time()
        return time.monotonic() + min(max(0.0, left), span)

    def answer(self, command: Command) -> Answer:
        """Do what a viewer asks for, and say what became of it."""
        state = self._journal.state.state
        if command.verb not in (STOP, KILL, REQUEUE):
            return Answer(False, f"{command.verb!r} is not something that a {state} run can do")
        if not state.is_live:
            return Answer(False, f"the run has already ended: it is {state}")
        if self.intent == "requeue" and command.verb == STOP:
            return self._stop_for_good(command)
        if self.intent == "kill" or (self.intent and command.verb != KILL):
            return Answer(False, "the run is already being stopped")
        if command.verb == KILL:
            return self._begin_kill(command)
        if command.verb == REQUEUE:
            return self._begin_requeue()
        return self._begin_stop(command)

    def _begin_requeue(self) -> Answer:
        grace = grace_seconds(self._plan, self._attempt.read_progress())
        message = "The job's time limit is near: it saves and goes back to Slurm's queue."
        self._stopping("requeue_requested", "requeue", message, grace)
        return Answer(True, message)

    def _stop_for_good(self, command: Command) -> Answer:
        """It is saving already, to go on later: now it is not to."""
        self._journal.note(
            "stop_requested", f"Stop asked for by {command.client}: it does not go back to the queue."
        )
        self.intent = "stop"
        return Answer(True, "it is saving already, and does not go back to Slurm's queue")

    def _begin_stop(self, command: Command) -> Answer:
        grace = grace_seconds(self._plan, self._attempt.read_progress())
        self._stopping("stop_requested", "stop", f"Stop asked for by {command.client}.", grace)
        how = "it saves at the next step and ends" if self._plan.kind == "train" else "it was sent SIGTERM"
        return Answer(True, f"{how}; it is killed after {grace:.0f} s")

    def _begin_kill(self, command: Command) -> Answer:
        self._stopping("kill_requested", "kill", f"Kill asked for by {command.client}.", 0.0)
        return Answer(True, "all its processes are being killed")

    def shut_down(self) -> None:
        """Let the attempt save and end, since the host goes down."""
        by_slurm = self._plan.launcher == "slurm"
        message = f"{'Slurm' if by_slurm else 'The host'} asked the supervisor to end."
        grace = grace_seconds(self._plan, self._attempt.read_progress())
        self._stopping("shutdown_requested", "shutdown", message, grace)

    def _stopping(self, event: str, intent: str, message: str, seconds: float) -> None:
        """Record the wish before acting on it, so that a supervisor that comes after this one knows of it."""
        deadline = time.time() + seconds
        self._journal.move(State.STOPPING, event, message, stop_deadline=deadline)
        self.intent = intent
        self._began = time.monotonic()
        self._kill_at = self._began + seconds
        if intent != "kill":
            self._deliver()

    def press(self) -> None:
        """Do what is due while the attempt's process lives."""
        if self.intent in ("stop", "shutdown", "requeue") and not self._delivered:
            self._deliver()
        if self._kill_at is not None and time.monotonic() >= self._kill_at and not self._let_it_save():
            self._enforce()

    def _deliver(self) -> None:
        """Tell the attempt of the wish that it end; done again by whoever follows a supervisor that died over it."""
        if self._plan.kind == "train":
            self._attempt.request_stop()
        elif not self._terminate():
            return
        else:
            self._journal.note("sigterm_sent", "SIGTERM was sent to the program.")
        self._delivered = True

    def _let_it_save(self) -> bool:
        """Put off the kill while a checkpoint is being written: cut short it would count for nothing."""
        began, now = self._began, time.monotonic()
        if self.intent == "kill" or self._grace_is_over or not is_saving(self._attempt.read_progress()):
            return False
        if began is None or now - began > LONGEST_GRACE_SECONDS:
            return False
        self._kill_at = now + SAVING_ROUND_SECONDS
        deadline = {"stop_deadline": time.time() + SAVING_ROUND_SECONDS}
        self._journal.note("grace_extended", "It is writing its checkpoint and gets more time.", deadline)
        return True

    def _enforce(self) -> None:
        """Grace is over: SIGTERM for a training that was only asked by file so far, then SIGKILL for all."""
        if self.intent != "kill" and not self._grace_is_over:
            self._grace_is_over = True
            if self._plan.kind == "train":
                self._kill_at = time.monotonic() + self._term_seconds
                self._journal.note("grace_over", "It did not end within its grace period; SIGTERM was sent.")
                self._terminate()
                return
            self._journal.note("grace_over", "It did not end within its grace period and is killed.")
        self._kill_at = None
        self._journal.describe("killing all processes")
        self._kill_all()

    def _kill_all(self) -> None:
        if stuck := kill_run(self._run):
            self._journal.note(
                "unkillable", f"Processes {stuck} survived SIGKILL; they wait inside the kernel."
            )

    def _terminate(self) -> bool:
        """Send SIGTERM to the attempt's own process: sent to the group it kills data loaders and so the checkpoint."""
        identity = recorded_process(self._run, self._attempt)
        for each in run_processes(self._run):
            if identity and each.pid == identity.pid:
                signal_process(each, signal.SIGTERM)
                return True
        return False

    def sweep(self, obey: Callable[[], None]) -> None:
        """Leave nothing of the run behind after the attempt's own process; ``obey`` takes commands meanwhile.

        Helpers get a moment to notice that the attempt is gone; what a stopped program left running gets a SIGTERM
        and the rest of the grace period, since the program may have been a mere shell around it. Then all is killed.
        """
        patience = LEFTOVER_SECONDS
        if self.intent == "kill":
            patience = 0.0
        elif self.intent and self._plan.kind == "command":
            patience = max(patience, (self._kill_at or 0.0) - time.monotonic())
            for process in run_processes(self._run):
                signal_process(process, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while (left := run_processes(self._run)) and time.monotonic() < deadline:
            obey()
            if self.intent == "kill":
                break
            time.sleep(0.05)
        if left:
            pids = ", ".join(str(process.pid) for process in left)
            self._journal.note("leftovers_killed", f"Processes {pids} outlived the attempt and were killed.")
            self._kill_all()
