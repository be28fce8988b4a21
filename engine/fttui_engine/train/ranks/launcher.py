"""The ranks of one attempt as processes: started together, and ended together when one of them fails."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

from fttui_engine.runs.attempt import Attempt, Outcome
from fttui_engine.supervise.evidence import OomWatch
from fttui_engine.supervise.verdict import signal_name

POLL_SECONDS = 0.1

PEER_SECONDS = 10.0
"""How long the other ranks may take to end by themselves after one has failed: with gloo they see it within 0.1 s, with
NCCL they would wait for it until ddp_timeout is over."""


class RankProcesses:
    """The processes of one attempt; all write to its log, those behind the first with their rank before each line."""

    def __init__(self, attempt: Attempt, count: int) -> None:
        self._attempt = attempt
        self._count = count
        self._processes: list[subprocess.Popen[bytes]] = []
        self._oom = OomWatch()

    def pass_signals_on(self) -> None:
        """Let SIGTERM and SIGINT reach every rank: the process alone, since its data loaders must live on to the save."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.send_signal(number)

    def start(self, argv: Sequence[str]) -> None:
        """Start every rank; they meet at a port of the loopback device that nobody else can take meanwhile."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(self._count)
            for rank in range(self._count):
                inherited = (listener.fileno(),) if rank == 0 else ()
                self._processes.append(self._spawn(argv, self._environment(rank, listener), inherited))

    def _spawn(
        self, argv: Sequence[str], environment: dict[str, str], inherited: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(argv, env=environment, pass_fds=inherited)

    def _environment(self, rank: int, listener: socket.socket) -> dict[str, str]:
        threads = max(1, len(os.sched_getaffinity(0)) // self._count)
        ours = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(self._count),
            "LOCAL_WORLD_SIZE": str(self._count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(listener.getsockname()[1]),
        }
        if rank == 0:
            ours["FTTUI_RENDEZVOUS_FD"] = str(listener.fileno())
        # gloo would otherwise listen at the address that the host's name resolves to, if it resolves at all.
        defaults = {"OMP_NUM_THREADS": str(threads), "GLOO_SOCKET_IFNAME": "lo"}
        return {**defaults, **os.environ, **ours}

    def wait(self) -> int:
        """Return 0 once all ranks ended well; after a failure end the others, write the outcome and return 1."""
        ended: dict[int, int] = {}
        while len(ended) < self._count:
            ended |= self._newly_ended(ended)
            if any(ended.values()):
                break
            self._oom.sample()
            time.sleep(POLL_SECONDS)
        if not any(ended.values()):
            return 0
        before_kill = self._end_the_rest(ended)
        if not (self._attempt.read_outcome()):
            self._attempt.write_outcome(self._failure(before_kill))
        return 1

    def _newly_ended(self, ended: dict[int, int]) -> dict[int, int]:
        codes = {rank: process.poll() for rank, process in enumerate(self._processes) if rank not in ended}
        return {rank: code for rank, code in codes.items() if code is not None}

    def _end_the_rest(self, ended: dict[int, int]) -> dict[int, int]:
        """Wait a little for the other ranks, then kill them; return how those ended that ended by themselves."""
        deadline = time.monotonic() + PEER_SECONDS
        while len(ended) < self._count and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            ended |= self._newly_ended(ended)
        for rank, process in enumerate(self._processes):
            if rank not in ended:
                process.kill()
                process.wait()
        return ended

    def _failure(self, ended: dict[int, int]) -> Outcome:
        """Return the outcome of the rank that failed first; what its peers say of the broken connection is no cause."""
        for rank, code in ended.items():
            # A rank aborts when torch's watchdog finds another one missing.
            if code < 0 and -code != signal.SIGABRT:
                return self._killed(rank, -code)
        said = [failure for rank in ended if (failure := self._attempt.read_rank_failure(rank))]
        if said:
            first = min(said)
            return first.outcome._replace(
                message=f"Rank {first.rank} of {self._count}: {first.outcome.message}"
            )
        rank, code = next((rank, code) for rank, code in ended.items() if code)
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        return self._silent(rank, how)

    def _killed(self, rank: int, number: int) -> Outcome:
        if number == signal.SIGKILL and self._oom.recent_kills():
            outcome = self._silent(rank, "was killed: the host ran out of memory and the kernel ended it")
            advice = "Lower per_device_train_batch_size, cutoff_len or the number of processes, then resume."
            return outcome._replace(kind="oom_host", advice=advice)
        return self._silent(rank, f"was killed by {signal_name(number)}")

    def _silent(self, rank: int, how: str) -> Outcome:
        """Return the outcome of a rank that could not say itself why it ended."""
        progress = self._attempt.read_progress()
        return Outcome(
            "failed",
            progress.step if progress else 0,
            progress.max_steps if progress else None,
            f"Rank {rank} of {self._count} (process {self._processes[rank].pid}) {how}; the others were ended.",
            "The log may have its last words; resume goes on from the newest checkpoint.",
            "signal" if how.startswith("was killed by") else "exit_code",
        )
