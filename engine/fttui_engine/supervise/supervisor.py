"""The supervisor of one run: a state machine over what is on disk, so that it can be killed at any moment.

It runs in ``supervisor_process.py`` under the keeper, which follows it with another if it dies.
Invariants:

- Whatever it needs to know is in the run directory; a new supervisor goes on where the old one was.
- Every command is answered exactly once, in the order of arrival.
- The state becomes an ended one only when no process of the run is left, or when one cannot be killed and that is said.
- Its exit code 0 means "this run has ended, the keeper may go"; any other end brings the next supervisor.
"""

import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

from fttui_engine.errors import FttuiError, NoSuchRunError
from fttui_engine.runs.attempt import Exit, Launch
from fttui_engine.runs.commands import (
    KILL,
    STOP,
    Answer,
    Command,
    answer_command,
    refuse_commands,
    waiting_commands,
)
from fttui_engine.runs.events import Event, read_events
from fttui_engine.runs.files import SCHEMA, write_json
from fttui_engine.runs.identity import Liveness, identify_self, identity_to_json
from fttui_engine.runs.journal import ExitVerdict, Journal
from fttui_engine.runs.lock import charge_lock
from fttui_engine.runs.run import Run
from fttui_engine.runs.states import State
from fttui_engine.supervise.evidence import (
    OomWatch,
    await_exit,
    recorded_keeper,
    recorded_process,
    was_rebooted,
    witnessed_exit,
)
from fttui_engine.supervise.grace import (
    LONGEST_GRACE_SECONDS,
    SAVING_ROUND_SECONDS,
    grace_seconds,
    is_saving,
)
from fttui_engine.supervise.pidfd import ProcessWatch
from fttui_engine.supervise.spawn import keeper_is_alive, spawn_keeper
from fttui_engine.supervise.tree import kill_run, run_processes, signal_process
from fttui_engine.supervise.verdict import Evidence, judge, last_line

POLL_SECONDS = 0.25
LONGEST_TERM_SECONDS = 15.0
"""How long a training that overstayed its grace has after SIGTERM, before SIGKILL; never longer than its grace."""
LEFTOVER_SECONDS = 2.0
"""How long helpers (data loaders, trackers) may outlive the attempt's own process: torch's loaders notice within
this that their parent is gone."""

PHASES = {"loading": "loading the model", "data": "preparing the data"}
INTENT_EVENTS = {"stop_requested": "stop", "kill_requested": "kill", "shutdown_requested": "shutdown"}


class _EndedWhileChoosing(Exception):  # noqa: N818
    """The run was asked to end while its checkpoints were being read."""


class Supervisor:
    """One run's policy: starts the attempt it finds asked for, obeys commands, judges the end."""

    def __init__(self, run: Run, keeper: socket.socket) -> None:
        self._run = run
        self._keeper = keeper
        self._plan = run.read_plan()
        self._journal = Journal(run)
        self._parent = recorded_keeper(run)
        self._attempt = run.attempt(self._journal.state.attempt)
        self._term_seconds = min(LONGEST_TERM_SECONDS, self._plan.grace_seconds)
        self._asked_to_start = False
        self._oom = OomWatch()
        self._watch: ProcessWatch | None = None
        self.shutdown = False
        """Set by the SIGTERM handler: the host is going down."""
        self._recall_wishes()

    def _recall_wishes(self) -> None:
        """Find out what an earlier supervisor of this attempt was asked for, and how far it got with it."""
        number = self._attempt.number
        events = {each.event: each for each in read_events(self._run.events_path) if each.attempt == number}
        wishes = [intent for event, intent in INTENT_EVENTS.items() if event in events]
        # A kill overrides a stop; a stop is never asked for behind a kill.
        self._intent = "kill" if "kill" in wishes else wishes[-1] if wishes else ""
        self._stop_began = time.monotonic() if self._intent else None
        self._delivered = "sigterm_sent" in events
        self._grace_is_over = "grace_over" in events
        self._kill_at = self._recalled_deadline(events)

    def _recalled_deadline(self, events: dict[str, Event]) -> float | None:
        """Return when to enforce a stop that an earlier supervisor began, on this process's own clock."""
        if not self._intent:
            return None
        if self._intent == "kill":
            return time.monotonic()
        span, end = LONGEST_GRACE_SECONDS, self._journal.state.stop_deadline
        if self._grace_is_over:
            span, end = self._term_seconds, events["grace_over"].time + self._term_seconds
        left = self._plan.grace_seconds if end is None else end - time.time()
        return time.monotonic() + min(max(0.0, left), span)

    def run_to_end(self) -> None:
        """Work until the run has ended."""
        write_json(self._run.lease_path, {"schema": SCHEMA, "supervisor": identity_to_json(identify_self())})
        while self._journal.state.state.is_live:
            self._obey()
            self._step()
            if self._journal.state.state.is_live:
                self._wait()
        refuse_commands(self._run, f"the run has ended: it is {self._journal.state.state}")

    def _step(self) -> None:
        """Go one step on from what is found on disk."""
        if self.shutdown and not self._intent:
            self._shut_down()
        identity = recorded_process(self._run, self._attempt)
        if identity is None:
            self._bring_to_start()
        elif (liveness := identity.liveness()) is Liveness.DEAD:
            self._end()
        elif liveness is Liveness.ALIVE:
            self._watch = self._watch or ProcessWatch(identity)
            self._follow()

    # Before the attempt's process: choose where it starts, have the keeper start it.

    def _bring_to_start(self) -> None:
        if self._intent and not self._asked_to_start:
            state = State.INTERRUPTED if self._intent == "shutdown" else State.STOPPED
            self._close(
                state, "shutdown" if self._intent == "shutdown" else "stopped", "Ended before it had started."
            )
            return
        if self._attempt.read_launch() is None:
            try:
                self._decide_launch()
            except _EndedWhileChoosing:
                return
            except FttuiError as error:
                self._close(State.FAILED, "checkpoint", error.message)
                return
        if not self._asked_to_start:
            self._asked_to_start = True
            self._send(f"start {self._attempt.number}".encode())

    def _decide_launch(self) -> None:
        """Write ``launch.json``, with a checkpoint that was verified in full where there is one to go on from."""
        plan, found = self._plan, None
        if plan.kind == "train":
            from fttui_engine.supervise.start_point import choose_start

            found = choose_start(
                Path(plan.output_dir), self._attempt, self._journal, self._obey_while_choosing
            )
        folder, step = found or (None, None)
        self._attempt.write_launch(Launch(plan.argv, plan.environment, plan.cwd, folder, step))

    def _obey_while_choosing(self) -> None:
        """Answer while checkpoints are read: 20 GB take 20 s."""
        self._obey()
        if self._intent or self.shutdown:
            raise _EndedWhileChoosing

    def _close(self, state: State, kind: str, message: str) -> None:
        """End a run whose attempt never began."""
        verdict = ExitVerdict(kind, None, None, message, "")
        self._journal.move(state, str(state), message, exit=verdict, ended_at=time.time(), stop_deadline=None)

    # While the attempt's process runs.

    def _follow(self) -> None:
        self._oom.sample()
        if self._journal.state.state is State.STARTING:
            self._greet()
        if self._intent in ("stop", "shutdown") and not self._delivered:
            self._deliver()
        if self._kill_at is not None and time.monotonic() >= self._kill_at and not self._let_it_save():
            self._enforce()

    def _greet(self) -> None:
        """Call the run running once it does what it was started for; until then say what it is doing."""
        if self._journal.state.attempt_started_at is None:
            self._note_start()
        progress = self._attempt.read_progress()
        if self._plan.kind == "command" or (progress and progress.phase in ("train", "eval", "save", "done")):
            self._journal.move(State.RUNNING, "running", f"Attempt {self._attempt.number} is running.")
        elif progress:
            self._journal.describe(PHASES.get(progress.phase, progress.phase))

    def _note_start(self) -> None:
        now = time.time()
        state = self._journal.state
        process = recorded_process(self._run, self._attempt)
        self._journal.note(
            "attempt_started",
            f"Attempt {state.attempt} was started.",
            {"started_at": state.started_at or now, "attempt_started_at": now},
            pid=process.pid if process else None,
        )

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
        began, now = self._stop_began, time.monotonic()
        if self._intent == "kill" or self._grace_is_over or not is_saving(self._attempt.read_progress()):
            return False
        if began is None or now - began > LONGEST_GRACE_SECONDS:
            return False
        self._kill_at = now + SAVING_ROUND_SECONDS
        deadline = {"stop_deadline": time.time() + SAVING_ROUND_SECONDS}
        self._journal.note("grace_extended", "It is writing its checkpoint and gets more time.", deadline)
        return True

    def _enforce(self) -> None:
        """Grace is over: SIGTERM for a training that was only asked by file so far, then SIGKILL for all."""
        if self._intent != "kill" and not self._grace_is_over:
            self._grace_is_over = True
            if self._plan.kind == "train":
                self._kill_at = time.monotonic() + self._term_seconds
                self._journal.note("grace_over", "It did not end within its grace period; SIGTERM was sent.")
                self._terminate()
                return
            self._journal.note("grace_over", "It did not end within its grace period and is killed.")
        self._kill_at = None
        self._journal.describe("killing all processes")
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

    # Commands.

    def _obey(self) -> None:
        for command in waiting_commands(self._run):
            answer_command(self._run, command, self._answer(command))

    def _answer(self, command: Command) -> Answer:
        state = self._journal.state.state
        if command.verb not in (STOP, KILL):
            return Answer(False, f"{command.verb!r} is not something that a {state} run can do")
        if not state.is_live:
            return Answer(False, f"the run has already ended: it is {state}")
        if self._intent == "kill" or (self._intent and command.verb == STOP):
            return Answer(False, "the run is already being stopped")
        if command.verb == KILL:
            return self._begin_kill(command)
        return self._begin_stop(command)

    def _begin_stop(self, command: Command) -> Answer:
        grace = grace_seconds(self._plan, self._attempt.read_progress())
        self._stopping("stop_requested", "stop", f"Stop asked for by {command.client}.", grace)
        how = "it saves at the next step and ends" if self._plan.kind == "train" else "it was sent SIGTERM"
        return Answer(True, f"{how}; it is killed after {grace:.0f} s")

    def _begin_kill(self, command: Command) -> Answer:
        self._stopping("kill_requested", "kill", f"Kill asked for by {command.client}.", 0.0)
        return Answer(True, "all its processes are being killed")

    def _shut_down(self) -> None:
        message = "The host asked the supervisor to end."
        grace = grace_seconds(self._plan, self._attempt.read_progress())
        self._stopping("shutdown_requested", "shutdown", message, grace)

    def _stopping(self, event: str, intent: str, message: str, seconds: float) -> None:
        """Record the wish before acting on it, so that a supervisor that comes after this one knows of it."""
        deadline = time.time() + seconds
        self._journal.move(State.STOPPING, event, message, stop_deadline=deadline)
        self._intent = intent
        self._stop_began = time.monotonic()
        self._kill_at = self._stop_began + seconds
        if intent != "kill":
            self._deliver()

    # After the attempt's process.

    def _end(self) -> None:
        wished = self._intent  # what is asked for from now on did not end it
        started_at = self._journal.state.attempt_started_at or 0.0
        ended = await_exit(self._run, self._attempt, self._watch, started_at)
        self._sweep()
        if not wished and self.shutdown and ended and ended.signal == signal.SIGTERM:
            wished = "shutdown"  # a host that goes down sends SIGTERM to all, and to the attempt first
        verdict = judge(self._evidence(wished, ended), self._run.id)
        if self._journal.state.attempt_started_at is None:
            self._note_start()
        self._journal.move(
            verdict.state,
            str(verdict.state),
            verdict.exit.message,
            exit=verdict.exit,
            ended_at=time.time(),
            stop_deadline=None,
        )

    def _evidence(self, wished: str, ended: Exit | None) -> Evidence:
        return Evidence(
            intent=wished,
            outcome=self._attempt.read_outcome(),
            exit=ended,
            rebooted=was_rebooted(self._run, self._attempt),
            oom_kills=self._oom.recent_kills(),
            last_line=last_line(self._attempt),
        )

    def _sweep(self) -> None:
        """Leave nothing of the run behind.

        Helpers get a moment to notice that the attempt is gone; what a stopped program left running gets a SIGTERM
        and the rest of the grace period, since the program may have been a mere shell around it. Then all is killed.
        """
        patience = LEFTOVER_SECONDS
        if self._intent == "kill":
            patience = 0.0
        elif self._intent and self._plan.kind == "command":
            patience = max(patience, (self._kill_at or 0.0) - time.monotonic())
            for process in run_processes(self._run):
                signal_process(process, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while (left := run_processes(self._run)) and time.monotonic() < deadline:
            self._obey()
            if self._intent == "kill":
                break
            time.sleep(0.05)
        if left:
            pids = ", ".join(str(process.pid) for process in left)
            self._journal.note("leftovers_killed", f"Processes {pids} outlived the attempt and were killed.")
            if stuck := kill_run(self._run):
                self._journal.note(
                    "unkillable", f"Processes {stuck} survived SIGKILL; they wait inside the kernel."
                )

    # The keeper.

    def _wait(self) -> None:
        """Sleep until the keeper or the watched process has something to say, or the next look is due."""
        sources = [self._keeper.fileno()]
        if self._watch is not None and self._watch.fileno() >= 0:
            sources.append(self._watch.fileno())
        ready, _, _ = select.select(sources, [], [], POLL_SECONDS)
        if self._keeper.fileno() in ready and not self._keeper.recv(64):
            self._replace_keeper()

    def _send(self, message: bytes) -> None:
        try:
            self._keeper.send(message)
        except OSError:
            self._replace_keeper()

    def _replace_keeper(self) -> None:
        """The keeper was killed: put another in place, whose own supervisor takes over from this one.

        What this process alone saw of the attempt's end is written down before. Where no keeper can be started (no
        memory, a full disk) this tries on: nobody else would take care of the run before somebody looks at it.
        """
        for pause_seconds in (1.0, 2.0, 4.0, 8.0, 16.0, *[30.0] * 2880):
            try:
                # The kernel closes a dying process's files before it counts as dead, so it may still look alive.
                while self._parent is not None and self._parent.is_alive:
                    time.sleep(0.005)
                started_at = self._journal.state.attempt_started_at or 0.0
                witnessed_exit(self._run, self._attempt, self._watch, started_at)
                with charge_lock(self._run):
                    if not keeper_is_alive(self._run):
                        self._journal.note("keeper_replaced", "The keeper was killed; another one took over.")
                        spawn_keeper(self._run)
                break
            except NoSuchRunError:
                break
            except (FttuiError, OSError) as error:
                print(f"no new keeper yet: {error}", file=sys.stderr, flush=True)
                time.sleep(pause_seconds)
        os._exit(1)


def main() -> int:
    """Supervise the run whose folder is given; the keeper's end of the socket comes in the environment."""
    run = Run(Path(sys.argv[1]))
    keeper = socket.socket(fileno=int(os.environ["FTTUI_KEEPER_FD"]))
    supervisor = Supervisor(run, keeper)

    def note_shutdown(*_: object) -> None:
        supervisor.shutdown = True

    signal.signal(signal.SIGTERM, note_shutdown)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    supervisor.run_to_end()
    return 0
