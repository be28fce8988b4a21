"""A run's job of Slurm, from inside: the process that Slurm started on a node and waits for.

It puts the run's keeper in place and stays until that has gone, since the job ends with it. All the rest (starting
the attempt, saving, judging its end) is done by the same keeper and supervisor as on any other machine. Invariants:

- It acts only on a run whose ``slurm.json`` names this very life of this job; once another one is named it ends
  all its processes and itself. Slurm may start a job again while its node is merely out of reach.
- An attempt that an earlier life of the job began is over: the next one begins, from the newest whole checkpoint.
- SIGUSR1 (the time limit is near) becomes a wish like that of a viewer, so that it survives the supervisor.
- SIGTERM (scancel, preemption) is passed to the supervisor, which saves within what Slurm's KillWait allows.
"""

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from fttui_engine.errors import FttuiError
from fttui_engine.runs.attempt import NEWEST, Request
from fttui_engine.runs.commands import REQUEUE, drop_command
from fttui_engine.runs.events import read_events
from fttui_engine.runs.files import read_json_or_none
from fttui_engine.runs.identity import Liveness, ProcessIdentity, identity_from_json
from fttui_engine.runs.journal import ExitVerdict, Journal, read_state
from fttui_engine.runs.lock import charge_lock
from fttui_engine.runs.run import Run
from fttui_engine.runs.slurm_job import SlurmJob, read_slurm_job, write_slurm_job
from fttui_engine.runs.states import State
from fttui_engine.supervise.adoption import in_charge
from fttui_engine.supervise.slurm_queue import carried_environment, forget_environment, submit
from fttui_engine.supervise.spawn import spawn_keeper

PR_SET_CHILD_SUBREAPER = 36
POLL_SECONDS = 0.5
REQUEUED_SECONDS = 60.0
"""How long Slurm may take to end a job that it has put back into the queue (measured: 0.03 s)."""
WANTED = (signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD)


class BatchJob:
    """One life of the job: its id, and how often Slurm has started it before."""

    def __init__(self, run: Run, job_id: str, restarts: int, node: str) -> None:
        self._run = run
        self._me = SlurmJob(job_id, {}, 0.0, restarts, node)
        self._time_is_up = False
        self._told: ProcessIdentity | None = None
        self._is_ended_by_slurm = False

    def serve(self) -> int:
        """See the run through to its end, or to the end of this job's time; return the job's exit code."""
        if not self._begin():
            return 0
        while self._is_mine():
            self._take_signals()
            if in_charge(self._run) is not Liveness.ALIVE and not self._go_on():
                return self._leave()
        self._kill_all()
        return 1

    def _begin(self) -> bool:
        """Take charge of the run where it waits for this job; False where it does not."""
        with charge_lock(self._run, 60.0):
            job = read_slurm_job(self._run.slurm_path)
            if job is None or job.job_id not in ("", self._me.job_id):
                print(f"fttui: {self._run.id} waits for another job", flush=True)
                return False
            if not self._take_up(job):
                return False
            self._me = self._me._replace(settings=job.settings, submitted_at=job.submitted_at)
            write_slurm_job(self._run.slurm_path, self._me)
            spawn_keeper(self._run)
        return True

    def _take_up(self, job: SlurmJob) -> bool:
        """Bring the run to ``starting``, with an attempt that nobody has begun; False where it is not to go on."""
        journal, me = Journal(self._run), self._me
        state, number = journal.state.state, journal.state.attempt
        attempt = self._run.attempt(number)
        if state is State.QUEUED:
            journal.move(State.STARTING, "job_started", f"Slurm started job {me.job_id} on {me.node}.")
            return True
        if not state.is_live and not (state is State.INTERRUPTED and me.restarts):
            print(f"fttui: {self._run.id} is {state}; nothing is to be done", flush=True)
            return False
        outcome = attempt.read_outcome()
        if outcome and outcome.result == "finished":
            _close(journal, State.FINISHED, "finished", outcome.message)
            return False
        lost = f"Slurm started job {me.job_id} again on {me.node} (restart {me.restarts})"
        if state is State.STOPPING:
            if _is_to_end(self._run, number):
                _close(
                    journal,
                    State.STOPPED,
                    "stopped",
                    f"Ended with its node {job.node}, while it was being stopped.",
                )
                return False
            journal.move(State.QUEUED, "requeued", f"{job.node} was lost while it saved.", stop_deadline=None)
        before = attempt.read_request()
        request = Request(NEWEST, fruitless=before.fruitless, settings=before.settings)
        if not (following := self._run.attempt(number + 1)).path.exists():
            following.create(request)
        why = f"{lost}; attempt {number} ended with its node or was interrupted."
        changes = {"exit": None, "ended_at": None, "attempt_started_at": None, "stop_deadline": None}
        journal.move(State.STARTING, "job_restarted", why, attempt=following.number, **changes)
        return True

    def _is_mine(self) -> bool:
        """Whether this life of the job is the one that is in charge; where that cannot be read it is believed."""
        job = read_slurm_job(self._run.slurm_path)
        if job is None:
            return self._run.path.is_dir()
        return (job.job_id, job.restarts) == (self._me.job_id, self._me.restarts)

    def _take_signals(self) -> None:
        taken = signal.sigtimedwait(WANTED, POLL_SECONDS)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass  # orphans of the run: this process is the last to adopt them
        number = taken.si_signo if taken else 0
        if number == signal.SIGUSR1 and not self._time_is_up:
            self._time_is_up = True
            drop_command(self._run, REQUEUE)
        if number == signal.SIGTERM:
            self._is_ended_by_slurm = True
        if self._is_ended_by_slurm:
            self._pass_on()

    def _pass_on(self) -> None:
        """Tell the supervisor, and any that follows it, that the job is being ended."""
        lease = read_json_or_none(self._run.lease_path) or {}
        supervisor = identity_from_json(lease.get("supervisor"))
        if supervisor and supervisor != self._told and supervisor.is_alive:
            self._told = supervisor
            with suppress(ProcessLookupError):
                os.kill(supervisor.pid, signal.SIGTERM)

    def _go_on(self) -> bool:
        """Nobody is in charge any more: put somebody there, unless the run has ended or goes back to the queue."""
        with charge_lock(self._run, 60.0):
            state = read_state(self._run).state
            if not self._run.path.is_dir() or not state.is_live or state is State.QUEUED:
                return False
            if in_charge(self._run) is not Liveness.ALIVE:
                Journal(self._run).note(
                    "adopted", "Keeper and supervisor were gone; the job put new ones in place."
                )
                spawn_keeper(self._run)
        return True

    def _leave(self) -> int:
        state = read_state(self._run).state
        if state is State.QUEUED:
            return self._back_to_the_queue()
        if state is not State.INTERRUPTED:  # what Slurm interrupted it may start again by itself
            forget_environment(self._run)
        return 0 if state in (State.FINISHED, State.STOPPED) else 1

    def _back_to_the_queue(self) -> int:
        """Have Slurm start this job again, or another one where it may not be; the run waits for either."""
        from fttui_engine.slurm.programs import requeue

        try:
            requeue(self._me.job_id)
        except FttuiError as error:
            return self._submit_another(error)
        signal.sigtimedwait([signal.SIGTERM], REQUEUED_SECONDS)  # Slurm ends this process now
        return 0

    def _submit_another(self, refused: FttuiError) -> int:
        with charge_lock(self._run, 60.0):
            if read_state(self._run).state is not State.QUEUED:
                return 0
            journal = Journal(self._run)
            try:
                submit(self._run)
            except FttuiError as error:
                message = (
                    f"It saved, but could not go back to Slurm's queue. {refused.message}; {error.message}"
                )
                advice = f"fttui resume {self._run.id} submits it again"
                _close(journal, State.INTERRUPTED, "slurm", message, advice)
                return 1
            journal.note("resubmitted", f"{refused.message}; another job was submitted instead.")
        return 0

    def _kill_all(self) -> None:
        """End all processes of this life; they are told by descent, since the next life may be on this node too."""
        import psutil

        print("fttui: another life of this job is in charge; this one ends", flush=True)
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _is_to_end(run: Run, attempt_number: int) -> bool:
    ends = {"stop_requested", "kill_requested"}
    return any(each.event in ends and each.attempt == attempt_number for each in read_events(run.events_path))


def _close(journal: Journal, state: State, kind: str, message: str, advice: str = "") -> None:
    verdict = ExitVerdict(kind, None, None, message, advice)
    journal.move(state, str(state), message, exit=verdict, ended_at=time.time(), stop_deadline=None)


def main() -> int:
    """Run the job of the run whose folder is given."""
    run = Run(Path(sys.argv[1]))
    # Blocked and waited for, so that none is lost and nothing happens in the middle of something else.
    signal.pthread_sigmask(signal.SIG_BLOCK, WANTED)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise SystemExit("this kernel has no child subreapers")
    os.environ.update(carried_environment(run))
    job_id, node = (
        os.environ.get("SLURM_JOB_ID", ""),
        os.environ.get("SLURMD_NODENAME") or os.uname().nodename,
    )
    restarts = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
    try:
        return BatchJob(run, job_id, restarts, node).serve()
    except FttuiError as error:
        print(f"fttui: {error.message}; {error.hint}", file=sys.stderr, flush=True)
        return 1
