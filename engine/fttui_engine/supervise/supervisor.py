"""The supervisor of one run: a state machine over what is on disk, so that it can be killed at any moment.

It runs as ``python -m fttui_engine.supervise.supervisor RUN_DIR`` under the keeper, which follows it with another if
it dies. Invariants:

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

from fttui_engine.runs.attempt import SCRATCH, Exit, Launch, Request
from fttui_engine.runs.checkpoints import CheckpointDamagedError, list_checkpoints, retire, set_aside, verify
from fttui_engine.runs.commands import KILL, STOP, Answer, Command, answer_command, waiting_commands
from fttui_engine.runs.events import read_events
from fttui_engine.runs.files import SCHEMA, read_json_or_none, write_json
from fttui_engine.runs.identity import (
    ProcessIdentity,
    boot_id,
    identify_self,
    identity_from_json,
    identity_to_json,
)
from fttui_engine.runs.journal import ExitVerdict, Journal
from fttui_engine.runs.lock import charge_lock
from fttui_engine.runs.run import Run
from fttui_engine.runs.states import State
from fttui_engine.supervise.pidfd import ProcessWatch
from fttui_engine.supervise.spawn import keeper_is_alive, spawn_keeper
from fttui_engine.supervise.tree import kill_run, run_processes, signal_process
from fttui_engine.supervise.verdict import Evidence, Verdict, judge, last_line

POLL_SECONDS = 0.25
TERM_SECONDS = 15.0
"""How long a program that overstayed its grace has after SIGTERM, before SIGKILL."""
LEFTOVER_SECONDS = 2.0
"""How long helpers (data loaders, trackers) may outlive the attempt's own process: torch's loaders notice within
this that their parent is gone."""

EXIT_FILE_SECONDS = 1.0

PHASES = {"loading": "loading the model", "data": "preparing the data"}
INTENT_EVENTS = {"stop_requested": "stop", "kill_requested": "kill", "shutdown_requested": "shutdown"}


class Supervisor:
    """One run's policy: starts the attempt it finds asked for, obeys commands, judges the end."""

    def __init__(self, run: Run, keeper: socket.socket) -> None:
        self._run = run
        self._keeper = keeper
        self._plan = run.read_plan()
        self._journal = Journal(run)
        self._attempt = run.attempt(self._journal.state.attempt)
        self._intent = self._recorded_intent()
        self._kill_at = self._remaining_grace()
        self._term_sent = False
        self._asked_to_start = False
        self._oom_kills_before = _oom_kills()
        self._watch: ProcessWatch | None = None
        self.shutdown = False
        """Set by the SIGTERM handler: the host is going down."""

    def run_to_end(self) -> None:
        """Work until the run has ended."""
        write_json(self._run.lease_path, {"schema": SCHEMA, "supervisor": identity_to_json(identify_self())})
        while self._journal.state.state.is_live:
            self._obey()
            self._step()
            if self._journal.state.state.is_live:
                self._wait()
        self._refuse_late_commands()

    def _step(self) -> None:
        """Go one step on from what is found on disk."""
        if self.shutdown and not self._intent:
            self._shut_down()
        identity = self._recorded_process()
        if identity is None:
            self._bring_to_start()
        elif identity.is_alive:
            self._watch = self._watch or ProcessWatch(identity)
            self._follow()
        else:
            self._end()

    # Before the attempt's process: choose where it starts, have the keeper start it.

    def _bring_to_start(self) -> None:
        if self._intent and not self._asked_to_start:
            message = "Ended before it had started."
            self._journal.move(State.STOPPED, "stopped", message, **self._ending("stopped", message))
            return
        if self._attempt.read_launch() is None and not self._decide_launch():
            return
        if not self._asked_to_start:
            self._asked_to_start = True
            self._send(f"start {self._attempt.number}".encode())

    def _decide_launch(self) -> bool:
        """Write ``launch.json`` with a checkpoint that was verified in full; False if the run has to end instead."""
        request = self._attempt.read_request()
        checkpoint: tuple[str, int] | None = None
        if self._plan.kind == "train":
            self._retire_checkpoints(request)
        if self._plan.kind == "train" and request.resume != SCRATCH:
            checkpoint = self._verified_checkpoint(request.step)
            if checkpoint is None and request.step is not None:
                message = f"There is no whole checkpoint of step {request.step}."
                self._journal.move(State.FAILED, "failed", message, **self._ending("checkpoint", message))
                return False
        folder, step = checkpoint or (None, None)
        plan = self._plan
        self._attempt.write_launch(Launch(plan.argv, plan.environment, plan.cwd, folder, step))
        if plan.kind == "train":
            text = f"goes on from {folder}" if folder else "starts at step 0"
            self._journal.note(
                "start_chosen", f"Attempt {self._attempt.number} {text}.", checkpoint=folder, step=step
            )
        return True

    def _retire_checkpoints(self, request: Request) -> None:
        """Put out of the way what lies behind the point where training starts again."""
        if request.resume != SCRATCH and request.step is None:
            return
        above = -1 if request.step is None else request.step
        label = f"attempt-{self._attempt.number:03d}"
        if steps := retire(Path(self._plan.output_dir), label, above):
            text = ", ".join(map(str, steps))
            self._journal.note("checkpoints_retired", f"Checkpoints {text} were moved to before-{label}.")

    def _verified_checkpoint(self, only_step: int | None) -> tuple[str, int] | None:
        """Return the newest checkpoint that is whole; every one that is passed over is set aside and named."""
        for checkpoint in reversed(list_checkpoints(Path(self._plan.output_dir))):
            if only_step is not None and checkpoint.step != only_step:
                continue
            self._journal.describe(f"verifying {checkpoint.path.name}")
            try:
                verify(checkpoint.path)
            except CheckpointDamagedError as error:
                aside = set_aside(checkpoint.path)
                message = (
                    f"{checkpoint.path.name} is not used: {error.reason}. It was renamed to {aside.name}."
                )
                self._journal.note("checkpoint_rejected", message, step=checkpoint.step, reason=error.reason)
                continue
            return str(checkpoint.path), checkpoint.step
        return None

    # While the attempt's process runs.

    def _follow(self) -> None:
        state = self._journal.state.state
        if state is State.STARTING:
            self._greet()
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
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
        process = self._recorded_process()
        self._journal.note(
            "attempt_started",
            f"Attempt {state.attempt} was started.",
            {"started_at": state.started_at or now, "attempt_started_at": now},
            pid=process.pid if process else None,
        )

    def _enforce(self) -> None:
        """Grace is over: SIGTERM for programs that handle it, then SIGKILL for all."""
        if self._intent != "kill" and not self._term_sent:
            self._term_sent = True
            self._kill_at = time.monotonic() + TERM_SECONDS
            self._journal.note("grace_over", "It did not end within its grace period; SIGTERM was sent.")
            self._terminate()
            return
        self._kill_at = None
        self._journal.describe("killing all processes")
        if stuck := kill_run(self._run):
            self._journal.note(
                "unkillable", f"Processes {stuck} survived SIGKILL; they wait inside the kernel."
            )

    def _terminate(self) -> None:
        """Send SIGTERM process by process: a signal to the group kills data loaders and so loses the checkpoint."""
        process = self._recorded_process()
        for each in run_processes(self._run):
            if process and each.pid == process.pid:
                signal_process(each, signal.SIGTERM)

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
        grace = self._plan.grace_seconds
        self._stopping("stop_requested", "stop", f"Stop asked for by {command.client}.", grace)
        how = "it saves at the next step and ends" if self._plan.kind == "train" else "it was sent SIGTERM"
        return Answer(True, f"{how}; it is killed after {grace:.0f} s")

    def _begin_kill(self, command: Command) -> Answer:
        self._stopping("kill_requested", "kill", f"Kill asked for by {command.client}.", 0.0)
        return Answer(True, "all its processes are being killed")

    def _shut_down(self) -> None:
        message = "The host asked the supervisor to end."
        self._stopping("shutdown_requested", "shutdown", message, self._plan.grace_seconds)

    def _stopping(self, event: str, intent: str, message: str, grace_seconds: float) -> None:
        """Record the wish before acting on it, so that a supervisor that comes after this one knows of it."""
        deadline = time.time() + grace_seconds
        self._journal.move(State.STOPPING, event, message, stop_deadline=deadline)
        self._intent = intent
        self._kill_at = time.monotonic() + grace_seconds
        if intent == "kill":
            return
        if self._plan.kind == "train":
            self._attempt.request_stop()
        else:
            self._terminate()

    def _refuse_late_commands(self) -> None:
        for command in waiting_commands(self._run):
            answer_command(
                self._run, command, Answer(False, f"the run has ended: it is {self._journal.state.state}")
            )

    # After the attempt's process.

    def _end(self) -> None:
        ended = self._await_exit()
        self._sweep()
        verdict = self._judge(ended)
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

    def _await_exit(self) -> Exit | None:
        """Return how the process ended; the keeper writes it milliseconds after the end, a killed keeper never."""
        deadline = time.monotonic() + EXIT_FILE_SECONDS
        while True:
            ended = self._attempt.read_exit() or self._witnessed_exit()
            if ended or self._rebooted() or time.monotonic() > deadline:
                return ended
            time.sleep(0.02)

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
            kill_run(self._run)

    def _judge(self, ended: Exit | None) -> Verdict:
        evidence = Evidence(
            intent=self._intent,
            outcome=self._attempt.read_outcome(),
            exit=ended,
            rebooted=self._rebooted(),
            oom_kills=_oom_kills() - self._oom_kills_before,
            last_line=last_line(self._attempt),
        )
        return judge(evidence, self._run.id)

    def _rebooted(self) -> bool:
        identity = self._recorded_process()
        return identity is not None and identity.boot_id != boot_id()

    def _witnessed_exit(self) -> Exit | None:
        """Return the exit status that this supervisor saw itself, where the keeper that should have was killed."""
        if self._watch is None or (status := self._watch.exit_status()) is None:
            return None
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        ended = Exit(
            self._watch.pid, code, number, self._journal.state.attempt_started_at or 0.0, time.time()
        )
        self._attempt.write_exit(ended)
        return ended

    def _ending(self, kind: str, message: str) -> dict[str, object]:
        verdict = ExitVerdict(kind, None, None, message, "")
        return {"exit": verdict, "ended_at": time.time(), "stop_deadline": None}

    # What is on disk, and the keeper.

    def _recorded_process(self) -> ProcessIdentity | None:
        """Return the identity of this attempt's process; ``None`` while it has none."""
        keeper = read_json_or_none(self._run.keeper_path) or {}
        if keeper.get("attempt") != self._attempt.number:
            return None
        return identity_from_json(keeper.get("process"))

    def _recorded_intent(self) -> str:
        number = self._attempt.number
        events = [event.event for event in read_events(self._run.events_path) if event.attempt == number]
        wishes = [INTENT_EVENTS[event] for event in events if event in INTENT_EVENTS]
        return wishes[-1] if wishes else ""

    def _remaining_grace(self) -> float | None:
        """Return when to enforce a stop that an earlier supervisor began, on this process's own clock."""
        if self._journal.state.state is not State.STOPPING:
            return None
        left = (self._journal.state.stop_deadline or 0.0) - time.time()
        return time.monotonic() + min(max(0.0, left), self._plan.grace_seconds)

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
        """The keeper was killed: put another in place, whose own supervisor takes over from this one."""
        with charge_lock(self._run):
            if not keeper_is_alive(self._run):
                self._journal.note("keeper_replaced", "The keeper was killed; another one took over.")
                spawn_keeper(self._run)
        os._exit(1)


def _oom_kills() -> int:
    """Return how many processes this host's kernel has ended for want of memory since it booted."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
