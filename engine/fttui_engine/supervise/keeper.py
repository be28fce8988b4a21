"""The keeper of one run: starts attempts, waits for them, writes their exit status, keeps a supervisor standing.

It runs in ``keeper_process.py`` with nothing but the standard library, holds no policy,
and is never upgraded while it lives. What it promises:

- It is in a session of its own and the reaper of every orphan of the run, so nothing of the run can get away from it
  and no hang-up reaches it.
- No attempt runs a single instruction before ``keeper.json`` says who it is: the forked child waits at a gate.
- Every attempt that ends under it leaves an ``exit.json``, whatever the supervisor is doing.
- It holds ``keeper.lock`` as long as it lives, and the attempt's process the lock in the attempt's folder.
- It holds the leases of the run (its GPUs), and gives every attempt a share of them.
- While anything is left to do there is a supervisor: one that dies is followed by another.
"""

import ctypes
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from fttui_engine.runs.attempt import Attempt, Exit
from fttui_engine.runs.files import SCHEMA, read_json_or_none, write_json
from fttui_engine.runs.identity import identify, identify_self, identity_to_json
from fttui_engine.runs.lifetime import hold
from fttui_engine.runs.run import Run
from fttui_engine.supervise.attempt_process import EXEC_FAILED, become_attempt, close_all_but, default_signals

PR_SET_CHILD_SUBREAPER = 36
FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 30.0
QUICK_RESTARTS = 8
"""So many early deaths in a row are followed at once, since somebody may be killing; more look like our own fault."""
STEADY_SECONDS = 10.0
"""A supervisor that lived this long died of something new."""

MOST_LEASES = 128


class Keeper:
    """The loop over three kinds of children: the attempt, the supervisor, and adopted orphans."""

    def __init__(self, run: Run, leases: list[int]) -> None:
        self._run = run
        self._leases = leases
        self._alive = hold(run.keeper_lock_path)
        self._attempt: Attempt | None = None
        self._attempt_pid = 0
        self._attempt_started_at = 0.0
        self._unwritten_exit: Exit | None = None
        self._supervisor_pid = 0
        self._supervisor_started = 0.0
        self._supervisor_due = 0.0
        self._early_deaths = 0
        self._supervisor_done = False
        # SEQPACKET keeps messages whole; the other end is inherited by every supervisor in turn, and its end of file
        # is how a supervisor learns at once that the keeper died.
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setblocking(False)
        self._wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def take_charge(self, attempt_number: int | None) -> None:
        """Say in ``keeper.json`` who is in charge, with the first attempt started where one was asked for.

        Without one, an attempt that an earlier keeper started stays on record: its supervisor watches it on.
        """
        if attempt_number is not None:
            self._start_attempt(attempt_number)
            return
        before = read_json_or_none(self._run.keeper_path) or {}
        self._record(before.get("attempt"), before.get("process"))

    def serve(self) -> None:
        """Work until the supervisor says that the run has ended."""
        while not (self._supervisor_done and not self._attempt_pid):
            self._stand_up_supervisor()
            self._wait()
            self._reap()
            self._write_exit()
            self._obey()
            if not self._attempt_pid and not self._run.path.is_dir():
                return

    def _wait(self) -> None:
        timeout = None if self._supervisor_pid else max(0.0, self._supervisor_due - time.monotonic())
        if self._unwritten_exit:
            timeout = 1.0
        select.select([self._wake_read, self._ours.fileno()], [], [], timeout)
        try:
            while os.read(self._wake_read, 512):
                pass
        except BlockingIOError:
            pass

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._attempt_pid:
                self._attempt_ended(pid, status)
            elif pid == self._supervisor_pid:
                self._supervisor_ended(status)

    def _attempt_ended(self, pid: int, status: int) -> None:
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        by_signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        self._unwritten_exit = Exit(pid, code, by_signal, self._attempt_started_at, time.time())
        self._attempt_pid = 0

    def _write_exit(self) -> None:
        """Write ``exit.json``; on a full disk try again each second, since nobody else will ever know."""
        if not self._unwritten_exit or not self._attempt:
            return
        try:
            self._attempt.write_exit(self._unwritten_exit)
        except OSError:
            if self._run.path.is_dir():
                return
        self._unwritten_exit = None
        self._tell_supervisor(b"exited")

    def _supervisor_ended(self, status: int) -> None:
        self._supervisor_pid = 0
        self._supervisor_done = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        self._put_off_supervisor()

    def _put_off_supervisor(self) -> None:
        lived_seconds = time.monotonic() - self._supervisor_started
        self._early_deaths = 0 if lived_seconds > STEADY_SECONDS else self._early_deaths + 1
        doublings = min(10, max(0, self._early_deaths - QUICK_RESTARTS))
        backoff_seconds = min(FIRST_BACKOFF_SECONDS * 2**doublings, LONGEST_BACKOFF_SECONDS)
        self._supervisor_due = time.monotonic() + backoff_seconds

    def _stand_up_supervisor(self) -> None:
        if self._supervisor_pid or self._supervisor_done or time.monotonic() < self._supervisor_due:
            return
        self._supervisor_started = time.monotonic()
        try:
            pid = os.fork()
        except OSError as error:
            # The limit of processes, or no memory: the keeper of an attempt that runs must not end over it.
            with suppress(OSError):  # the disk of its log may be full
                print(f"no supervisor can be started: {error.strerror}", file=sys.stderr, flush=True)
            self._put_off_supervisor()
            return
        if pid:
            self._supervisor_pid = pid
            return
        try:
            default_signals()
            self._theirs.set_inheritable(True)
            environment = {
                **os.environ,
                "FTTUI_ROLE": "supervisor",
                "FTTUI_KEEPER_FD": str(self._theirs.fileno()),
            }
            program = str(Path(__file__).with_name("supervisor_process.py"))
            command = [sys.executable, "-P", program, str(self._run.path)]
            os.execve(command[0], command, environment)
        finally:
            os._exit(EXEC_FAILED)

    def _obey(self) -> None:
        """Do what the supervisor asks: start the next attempt, or let go of the leases."""
        while True:
            try:
                message, leases, _, _ = socket.recv_fds(self._ours, 64, MOST_LEASES)
            except BlockingIOError:
                return
            self._leases += leases
            for lease in leases:
                os.set_inheritable(lease, False)
            verb, _, number = message.partition(b" ")
            if verb == b"release" and not self._attempt_pid:
                while self._leases:
                    os.close(self._leases.pop())
            latest = self._attempt.number if self._attempt else 0
            if verb == b"start" and number.isdigit() and not self._attempt_pid and int(number) > latest:
                self._start_attempt(int(number))
                self._tell_supervisor(b"started")

    def _tell_supervisor(self, message: bytes) -> None:
        # Only a nudge: the files say it all, and a supervisor that is not there reads them when it is.
        with suppress(OSError):
            self._ours.send(message)

    def _start_attempt(self, number: int) -> None:
        attempt = self._run.attempt(number)
        launch = attempt.read_launch()
        if launch is None:
            raise SystemExit(f"attempt {number} has no launch.json")
        gate_read, gate_write = os.pipe()
        # Taken before there is a child, so that nobody can find it on record without its lock.
        alive = hold(attempt.lock_path)
        pid = os.fork()
        if pid == 0:
            os.close(gate_write)
            become_attempt(self._run, attempt, launch, gate_read, [alive, *self._leases])
        os.close(gate_read)
        os.close(alive)
        self._attempt, self._attempt_pid, self._attempt_started_at = attempt, pid, time.time()
        self._record(number, identity_to_json(identify(pid)))
        os.write(gate_write, b"g")
        os.close(gate_write)

    def _record(self, attempt_number: object, process: object) -> None:
        write_json(
            self._run.keeper_path,
            {
                "schema": SCHEMA,
                "keeper": identity_to_json(identify_self()),
                "attempt": attempt_number,
                "process": process,
            },
            durable=False,  # identities mean nothing after a power cut
        )


def _detach(kept: list[int]) -> None:
    """Leave the session of whoever called, and every file of theirs."""
    os.setsid()
    os.chdir("/")
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    close_all_but(kept)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise SystemExit("this kernel has no child subreapers")


def main(ready_write: int) -> int:
    """Take charge, tell whoever waits at the other end of ``ready_write``, and serve until the run has ended."""
    run = Run(Path(sys.argv[1]))
    first_attempt = int(sys.argv[3]) if sys.argv[2] == "start" else None
    leases = [int(descriptor) for descriptor in os.environ.pop("FTTUI_LEASE_FDS", "").split()]
    _detach([ready_write, *leases])
    for lease in leases:
        os.set_inheritable(lease, False)
    keeper = Keeper(run, leases)
    keeper.take_charge(first_attempt)
    os.write(ready_write, b"r")
    os.close(ready_write)
    keeper.serve()
    return 0
