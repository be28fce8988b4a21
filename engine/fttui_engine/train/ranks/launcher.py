"""The ranks of one attempt as processes: started together, and ended together when one of them fails."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from fttui_engine.errors import FttuiError
from fttui_engine.runs.attempt import Attempt, Outcome
from fttui_engine.runs.checkpoints import list_checkpoints
from fttui_engine.supervise.evidence import OomWatch
from fttui_engine.supervise.grace import is_saving
from fttui_engine.supervise.verdict import signal_name
from fttui_engine.train.ranks import meeting
from fttui_engine.train.ranks.environment import of_rank, without_inherited
from fttui_engine.train.ranks.peers import RANK_LOST, PeerFailure, Peers
from fttui_engine.train.ranks.place import Place, alone

POLL_SECONDS = 0.1

PEER_SECONDS = 10.0
"""How long the other ranks may take to end by themselves after one has failed: with gloo they see it within 0.1 s, with
NCCL they would wait for it until ddp_timeout is over."""

KILLED_PEER_SECONDS = 2.0
"""The same where a rank was killed from outside: the others have nothing to tell of the cause, and what they do is lost
but for a checkpoint under way. So nothing is left, and the next attempt may begin, within 3 s."""

CAUSE_SECONDS = 3.0
"""How long to wait for word of the cause, where all ranks of this host only say that another one is gone."""


class RankProcesses:
    """The processes of one attempt on one host; those that do not report mark their lines in its log."""

    def __init__(self, attempt: Attempt, ranks: int | Place) -> None:
        self._attempt = attempt
        self._place = alone(ranks) if isinstance(ranks, int) else ranks
        self._count = self._place.here.ranks
        self._processes: list[subprocess.Popen[bytes]] = []
        self._peers = Peers(self._place, {})
        self._oom = OomWatch()
        self._signalled = False

    def pass_signals_on(self) -> None:
        """Let SIGTERM and SIGINT reach every rank: the process alone, since its data loaders must live on to the save."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signalled = True
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.send_signal(number)

    def run(self, argv: Sequence[str]) -> int:
        """Start the ranks of this host when all hosts are there, and wait for their end; 0 if it is a good one."""
        try:
            self.start(argv)
        except meeting.MeetingStoppedError:
            message = "Stopped before all hosts were there."
            self._attempt.write_outcome(Outcome("stopped", self._resume_step() or 0, None, message))
            return 0
        except FttuiError as error:
            message, hint = (f"{text[:1].upper()}{text[1:]}." for text in (error.message, error.hint))
            step = self._resume_step() or 0
            self._attempt.write_outcome(Outcome("failed", step, None, message, hint, "meeting"))
            print(f"failed: {message} {hint}", flush=True)
            return 1
        return self.wait()

    def start(self, argv: Sequence[str]) -> None:
        """Start every rank of this host; they meet at a port that nobody else can take meanwhile."""
        if len(self._place.nodes) > 1:
            self._meet_and_start(argv)
            return
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(self._count)
            self._start_ranks(argv, self._place._replace(master_port=listener.getsockname()[1]), listener)

    def _meet_and_start(self, argv: Sequence[str]) -> None:
        run_id = os.environ.get("FTTUI_RUN", "")
        arrival = meeting.Arrival(run_id, self._steps_to_go_on_from())
        met = meeting.meet(self._place, arrival, self._wants_stop)
        self._peers = Peers(self._place, met.lifelines)
        if met.resume_step is not None:
            os.environ["FTTUI_RESUME_STEP"] = str(met.resume_step)
        try:
            self._start_ranks(argv, self._place, met.listener)
        finally:
            if met.listener:
                met.listener.close()

    def _start_ranks(self, argv: Sequence[str], place: Place, listener: socket.socket | None) -> None:
        inherited = without_inherited(os.environ)
        for local_rank in range(self._count):
            environment = of_rank(place, local_rank, inherited)
            holds = (listener.fileno(),) if listener and local_rank == 0 else ()
            if holds:
                environment["FTTUI_RENDEZVOUS_FD"] = str(holds[0])
            self._processes.append(self._spawn(argv, environment, holds))

    def _wants_stop(self) -> bool:
        return self._signalled or self._attempt.stop_requested()

    def _resume_step(self) -> int | None:
        launch = self._attempt.read_launch()
        return launch.resume_step if launch else None

    def _steps_to_go_on_from(self) -> tuple[int, ...]:
        """Return the sealed checkpoints up to the one that this host was told to go on from."""
        launch = self._attempt.read_launch()
        if launch is None or not launch.resume_from:
            return ()
        newest = Path(launch.resume_from)
        there = [checkpoint.step for checkpoint in list_checkpoints(newest.parent) if checkpoint.complete]
        return tuple(step for step in there if launch.resume_step is None or step <= launch.resume_step)

    def _spawn(
        self, argv: Sequence[str], environment: dict[str, str], inherited: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(argv, env=environment, pass_fds=inherited)

    def wait(self) -> int:
        """Return 0 once all ranks ended well; after a failure end the others, write the outcome and return 1."""
        ended: dict[int, int] = {}
        told = None
        while len(ended) < self._count:
            ended |= self._newly_ended(ended)
            if any(ended.values()) or (told := self._peers.news(POLL_SECONDS)):
                break
            self._oom.sample()
        if not told and not any(ended.values()):
            self._peers.leave()
            return 0
        outcome = self._end_together(ended, told)
        if not self._attempt.read_outcome():
            self._attempt.write_outcome(outcome)
        self._peers.leave()
        return 1

    def _end_together(self, ended: dict[int, int], told: PeerFailure | None) -> Outcome:
        """End the ranks of this host and return why, as far as that can be known here."""
        ours = None if told else self._failure(ended)
        if ours and ours.kind != RANK_LOST:
            self._peers.tell(PeerFailure(self._place.number, ours))
        elif told:
            self._peers.tell(told)
        told = self._end_the_rest(ended) or told
        # What the others say of a broken connection is no cause, so it is waited for who knows one.
        deadline = time.monotonic() + CAUSE_SECONDS
        while not told and (not ours or ours.kind == RANK_LOST) and time.monotonic() < deadline:
            told = self._peers.news(POLL_SECONDS)
            if len(self._place.nodes) == 1:
                break
        if not told or (ours and ours.kind != RANK_LOST):
            return ours or self._failure(ended)
        self._peers.tell(told)
        return self._told_here(told)

    def _told_here(self, told: PeerFailure) -> Outcome:
        progress = self._attempt.read_progress()
        return told.outcome._replace(
            step=progress.step if progress else told.outcome.step,
            max_steps=progress.max_steps if progress else told.outcome.max_steps,
        )

    def _newly_ended(self, ended: dict[int, int]) -> dict[int, int]:
        codes = {rank: process.poll() for rank, process in enumerate(self._processes) if rank not in ended}
        return {rank: code for rank, code in codes.items() if code is not None}

    def _end_the_rest(self, ended: dict[int, int]) -> PeerFailure | None:
        """Wait a little for the other ranks, then kill them; return what is heard of another host meanwhile."""
        told = None
        started = time.monotonic()
        while len(ended) < self._count and time.monotonic() - started < self._patience_seconds(ended):
            told = told or self._peers.news(POLL_SECONDS)
            ended |= self._newly_ended(ended)
        for rank, process in enumerate(self._processes):
            if rank not in ended:
                process.kill()
                process.wait()
        return told

    def _patience_seconds(self, ended: dict[int, int]) -> float:
        """Return how long the others may take from the first death on; asked again, since a save may end meanwhile."""
        was_killed = any(_is_killed(code) for code in ended.values())
        if not was_killed or is_saving(self._attempt.read_progress()):
            return PEER_SECONDS
        return KILLED_PEER_SECONDS

    def _failure(self, ended: dict[int, int]) -> Outcome:
        """Return the outcome of the rank that failed first; what its peers say of the broken connection is no cause."""
        for local_rank, code in ended.items():
            if _is_killed(code):
                return self._killed(local_rank, -code)
        first = self._place.first_rank
        said = [failure for rank in ended if (failure := self._attempt.read_rank_failure(first + rank))]
        if said:
            # Clocks of one host agree, so that the earliest of them is the first.
            cause = min(said, key=lambda failure: (failure.outcome.kind == RANK_LOST, failure.time))
            return cause.outcome._replace(message=f"{self._shown(cause.rank)}: {cause.outcome.message}")
        local_rank, code = next((rank, code) for rank, code in ended.items() if code)
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        return self._silent(local_rank, how)

    def _killed(self, local_rank: int, number: int) -> Outcome:
        if number == signal.SIGKILL and self._oom.recent_kills():
            outcome = self._silent(
                local_rank, "was killed: the host ran out of memory and the kernel ended it"
            )
            advice = "Lower per_device_train_batch_size, cutoff_len or the number of processes, then resume."
            return outcome._replace(kind="oom_host", advice=advice)
        return self._silent(local_rank, f"was killed by {signal_name(number)}")

    def _silent(self, local_rank: int, how: str) -> Outcome:
        """Return the outcome of a rank that could not say itself why it ended."""
        progress = self._attempt.read_progress()
        rank = self._place.first_rank + local_rank
        return Outcome(
            "failed",
            progress.step if progress else 0,
            progress.max_steps if progress else None,
            f"{self._shown(rank)} (process {self._processes[local_rank].pid}) {how}; the others were ended.",
            "The log may have its last words; resume goes on from the newest checkpoint.",
            "signal" if how.startswith("was killed by") else "exit_code",
        )

    def _shown(self, rank: int) -> str:
        where = f" on {self._place.node_of(rank).name}" if len(self._place.nodes) > 1 else ""
        return f"Rank {rank} of {self._place.world_size}{where}"


def _is_killed(code: int) -> bool:
    """Whether a signal from outside ended a rank: it aborts itself when torch's watchdog finds another one missing."""
    return code < 0 and -code != signal.SIGABRT
