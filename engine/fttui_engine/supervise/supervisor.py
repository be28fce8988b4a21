"""The supervisor of one run: a state machine over what is on disk, so that it can be killed at any moment.

It runs in ``supervisor_process.py`` under the keeper, which follows it with another if it dies.
Invariants:

- Whatever it needs to know is in the run directory; a new supervisor goes on where the old one was.
- Every command is answered exactly once, in the order of arrival.
- The state becomes an ended one only when no process of the run is left, or when one cannot be killed and that is said.
- Its exit code 0 means "this run has ended, the keeper may go"; any other end brings the next supervisor.
"""

import os
import signal
import socket
import sys
import time
from pathlib import Path

from fttui_engine.errors import FttuiError
from fttui_engine.runs.attempt import Attempt, Exit, Launch
from fttui_engine.runs.commands import REQUEUE, answer_command, refuse_commands, waiting_commands
from fttui_engine.runs.files import SCHEMA, DamagedFileError, write_json
from fttui_engine.runs.identity import Liveness, identify_self, identity_to_json
from fttui_engine.runs.journal import ExitVerdict, Journal
from fttui_engine.runs.lifetime import liveness_of
from fttui_engine.runs.run import Plan, Run
from fttui_engine.runs.states import State
from fttui_engine.supervise.claim import Claim
from fttui_engine.supervise.diagnosis import diagnose
from fttui_engine.supervise.evidence import (
    OomWatch,
    await_exit,
    recorded_process,
    what_restarted,
    witnessed_exit,
)
from fttui_engine.supervise.gpu_environment import with_gpus
from fttui_engine.supervise.hang import HangWatch
from fttui_engine.supervise.keeper_link import KeeperLink
from fttui_engine.supervise.log_cap import LogCap
from fttui_engine.supervise.notices import Notices
from fttui_engine.supervise.pidfd import ProcessWatch
from fttui_engine.supervise.queued import Queued
from fttui_engine.supervise.restarts import EVENT as RESTART_PLANNED
from fttui_engine.supervise.restarts import (
    REQUEUED,
    Parked,
    Restart,
    Wait,
    after_time_limit,
    parked,
    what_follows,
)
from fttui_engine.supervise.stopping import Stop
from fttui_engine.supervise.verdict import Evidence, Verdict, judge, last_line

POLL_SECONDS = 0.25
QUEUED_POLL_SECONDS = 1.0
"""A hundred runs may be waiting."""
GRACE_SECONDS = 60.0
"""For a run whose plan cannot be read."""

GPU_LOST = "gpu_lost"
PHASES = {"loading": "loading the model", "data": "preparing the data"}


class _EndedWhileChoosing(Exception):  # noqa: N818
    """The run was asked to end while its checkpoints were being read."""


class Supervisor:
    """One run's policy: starts the attempt it finds asked for, obeys commands, judges the end."""

    def __init__(self, run: Run, keeper: socket.socket) -> None:
        self._run = run
        self._journal = Journal(run)
        self._keeper = KeeperLink(run, self._journal, keeper, self._witness)
        self._plan = self._read_plan()
        self._oom = OomWatch()
        self._claim = Claim(run, self._journal)
        self._queued = Queued(run, self._journal, self._claim)
        self._take_up(run.attempt(self._journal.state.attempt))
        self.shutdown = False
        """Set by the SIGTERM handler: the host is going down."""

    def _take_up(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._stop = Stop(self._run, self._plan, attempt, self._journal)
        self._notices = Notices(self._run, attempt, self._journal)
        self._hang = HangWatch(self._run, self._plan, attempt, self._journal)
        self._log_cap = LogCap(attempt.log_path, self._plan.log_max_bytes, self._journal)
        self._asked_to_start = False
        self._wait_to_start: Wait | None = None
        self._watch: ProcessWatch | None = None

    def _read_plan(self) -> Plan:
        """Return the plan; where it is destroyed, one with which the attempt can still be watched and stopped."""
        try:
            return self._run.read_plan()
        except DamagedFileError as error:
            self._journal.note("plan_damaged", error.message)
            return Plan(self._run.id, "command", [], {}, "/", "", None, GRACE_SECONDS)

    def run_to_end(self) -> None:
        """Work until the run has ended."""
        write_json(self._run.lease_path, {"schema": SCHEMA, "supervisor": identity_to_json(identify_self())})
        while self._journal.state.state.is_live:
            self._obey()
            if self.shutdown and self._journal.state.state is State.QUEUED:
                self._queued.leave()
                return  # it keeps its place: whoever looks after the host is back puts another keeper in charge
            if self._is_slurms and self._journal.state.state is State.QUEUED:
                return  # its job puts it back into Slurm's queue
            self._step()
            if self._journal.state.state.is_live:
                self._wait()
        refuse_commands(self._run, f"the run has ended: it is {self._journal.state.state}")

    @property
    def _is_slurms(self) -> bool:
        return self._plan.launcher == "slurm"

    def _obey(self) -> None:
        for command in waiting_commands(self._run):
            answer_command(self._run, command, self._stop.answer(command))

    def _step(self) -> None:
        """Go one step on from what is found on disk."""
        if self.shutdown and not self._stop.intent:
            self._stop.shut_down()
        identity = recorded_process(self._run, self._attempt)
        if identity is None:
            self._bring_to_start()
        elif (liveness := liveness_of(identity, self._attempt.lock_path)) is Liveness.DEAD:
            self._end()
        elif liveness is Liveness.ALIVE:
            self._watch = self._watch or ProcessWatch(identity)
            self._follow()

    # Before the attempt's process: choose where it starts, have the keeper start it.

    def _bring_to_start(self) -> None:
        if self._stop.intent and not self._asked_to_start:
            if self._stop.intent == REQUEUE:
                self._journal.move(
                    State.QUEUED,
                    REQUEUED,
                    "Its job's time was over before it had started.",
                    stop_deadline=None,
                )
                return
            by_host = self._stop.intent == "shutdown"
            state, kind = (State.INTERRUPTED, "shutdown") if by_host else (State.STOPPED, "stopped")
            self._queued.leave()
            self._close(state, kind, "Ended before it had started.")
            return
        if self._journal.state.state is State.QUEUED and not self._take_turn():
            return
        if waits := self._waits_for():
            self._journal.describe(waits)
            return
        if self._attempt.read_launch() is None:
            try:
                self._decide_launch()
            except _EndedWhileChoosing:
                return
            except FttuiError as error:
                self._close(State.FAILED, "checkpoint" if self._plan.argv else "plan", error.message)
                return
        if not self._asked_to_start:
            if not self._has_leases():
                return
            self._asked_to_start = True
            self._keeper.send(f"start {self._attempt.number}", self._claim.hand_over())
            self._claim.drop()

    def _take_turn(self) -> bool:
        """Wait in the queue; True once it is this run's turn."""
        if plan := self._queued.step(self._plan, self._attempt):
            self._plan = plan
            return True
        return False

    def _has_leases(self) -> bool:
        """Take what is not held yet; where somebody else came first, wait for it or queue again."""
        if not (taken := self._claim.missing(self._plan.leases)):
            return True
        if self._run.queue_path.exists():
            self._journal.move(State.QUEUED, "queued", f"Back to the queue: {taken}.")
        else:
            self._journal.describe(f"waits: {taken}")
        return False

    def _waits_for(self) -> str:
        """Return what an attempt that follows a failed one still waits for, ``""`` when it may begin."""
        self._wait_to_start = self._wait_to_start or Wait(
            self._attempt.read_request(), self._plan, self._run.path
        )
        return self._wait_to_start.reason()

    def _decide_launch(self) -> None:
        """Write ``launch.json``, with a checkpoint that was verified in full where there is one to go on from."""
        plan, found = self._plan, None
        if not plan.argv:
            raise FttuiError(f"{self._run.plan_path.name} is damaged: nobody knows what to start.")
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
        if self._stop.intent or self.shutdown:
            raise _EndedWhileChoosing

    def _close(self, state: State, kind: str, message: str) -> None:
        """End a run whose attempt never began."""
        verdict = ExitVerdict(kind, None, None, message, "")
        self._journal.move(state, str(state), message, exit=verdict, ended_at=time.time(), stop_deadline=None)

    # While the attempt's process runs.

    def _follow(self) -> None:
        self._oom.sample()
        self._claim.keep_alive(self._plan.leases)
        if self._journal.state.state is State.STARTING:
            self._greet()
        self._log_cap.look()
        self._notices.tell()
        if not self._stop.intent:
            self._hang.look()
        self._stop.press()

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
            {"started_at": state.started_at or now, "attempt_started_at": now, "exit": None},
            pid=process.pid if process else None,
        )

    # After the attempt's process.

    def _end(self) -> None:
        wished = self._stop.intent  # what is asked for from now on did not end it
        started_at = self._journal.state.attempt_started_at or 0.0
        ended = await_exit(self._run, self._attempt, self._watch, started_at)
        self._stop.sweep(self._obey)
        self._log_cap.apply()
        # Ranks that have lost their launcher may still hear of a stop, save, and end for it.
        if not wished and (outcome := self._attempt.read_outcome()) and outcome.result == "stopped":
            wished = self._stop.intent
        if not wished and self.shutdown and ended and ended.signal == signal.SIGTERM:
            wished = "shutdown"  # a host that goes down sends SIGTERM to all, and to the attempt first
        verdict = judge(self._evidence(wished, ended), self._run.id)
        if self._journal.state.attempt_started_at is None:
            self._note_start()
        self._notices.tell()
        # A stop that came while leftovers were cleared away did not end this attempt, but it is to be the last.
        is_last = bool(self._stop.intent) or self.shutdown
        goes_back = wished == self._stop.intent == REQUEUE and verdict.state is State.INTERRUPTED
        follows: Restart | Parked | None = None
        if goes_back:
            follows = after_time_limit(self._plan, self._attempt)
        elif not is_last:
            follows = what_follows(self._run, self._plan, self._attempt, verdict)
        if isinstance(follows, Restart):
            self._restart(verdict, follows, REQUEUED if goes_back else RESTART_PLANNED)
            return
        if isinstance(follows, Parked):
            verdict = parked(verdict, follows)
        self._journal.move(
            verdict.state,
            str(verdict.state),
            verdict.exit.message,
            exit=verdict.exit,
            ended_at=time.time(),
            stop_deadline=None,
        )

    def _restart(self, verdict: Verdict, restart: Restart, event: str = RESTART_PLANNED) -> None:
        """Begin the next attempt; its folder comes first, since the journal's word is what counts."""
        attempt = self._run.attempt(self._attempt.number + 1)
        if not attempt.path.exists():
            attempt.create(restart.request)
        # Another GPU may do; whoever started it at once chose the one that it has.
        queues = verdict.exit.kind == GPU_LOST and self._run.queue_path.exists()
        if queues:
            self._keeper.send("release", [])
            self._plan = with_gpus(self._plan, None)._replace(leases=())
            self._run.write_plan(self._plan)
        self._journal.move(
            State.QUEUED if queues or event == REQUEUED else State.STARTING,
            event,
            f"{verdict.exit.message} {restart.message}",
            attempt=attempt.number,
            exit=verdict.exit,
            attempt_started_at=None,
            stop_deadline=None,
        )
        self._take_up(attempt)

    def _evidence(self, wished: str, ended: Exit | None) -> Evidence:
        return Evidence(
            intent=wished,
            outcome=self._attempt.read_outcome(),
            exit=ended,
            restarted=what_restarted(self._run, self._attempt),
            oom_kills=self._oom.recent_kills(),
            last_line=last_line(self._attempt),
            cause=diagnose(self._attempt.log_path),
            hung=self._hang.message,
            kind=self._plan.kind,
            launcher=self._plan.launcher,
        )

    def _wait(self) -> None:
        is_queued = self._journal.state.state is State.QUEUED
        self._keeper.wait(self._watch, QUEUED_POLL_SECONDS if is_queued else POLL_SECONDS)

    def _witness(self) -> None:
        """Write down what nobody else saw of the attempt's end, where the keeper was killed."""
        started_at = self._journal.state.attempt_started_at or 0.0
        witnessed_exit(self._run, self._attempt, self._watch, started_at)


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
