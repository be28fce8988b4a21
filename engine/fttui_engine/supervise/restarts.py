"""Whether a failed attempt is followed by another without being asked, and when.

Restarts in a row are counted by attempts that brought no newer checkpoint: a run that loses its connection to a file
server every night may go on for ever, one that dies at the same step three times is for a person to look at.
"""

import random
import time
from pathlib import Path
from typing import NamedTuple

from fttui_engine.runs.attempt import NEWEST, Attempt, Request
from fttui_engine.runs.checkpoints import list_checkpoints
from fttui_engine.runs.events import read_events
from fttui_engine.runs.files import Json
from fttui_engine.runs.free_space import free_bytes, has_free_inodes
from fttui_engine.runs.run import Plan, Run
from fttui_engine.runs.states import State
from fttui_engine.supervise import diagnosis
from fttui_engine.supervise.verdict import Verdict

EVENT = "restart_planned"
REQUEUED = "requeued"

FIRST_BACKOFF_SECONDS = 15.0
LONGEST_BACKOFF_SECONDS = 600.0
JITTER = 0.2
"""Runs that one fault of the host ended do not all come back at the same moment."""

MOST_PER_DAY = 20
DAY_SECONDS = 86400.0

REPEATED = diagnosis.REPEATED | {"checkpoint", "data", "diverged", "model", "plan"}
"""What another attempt would only run into again."""
OUT_OF_MEMORY = frozenset({"oom_cuda", "oom_host"})
STEPS_THAT_PROVE_MEMORY = 50
"""Out of memory after so many steps may have been a stranger's doing, or one long batch; before, it is the settings."""
QUICK_SECONDS = 60.0
"""A program that fails this soon, before its first step, was most likely started wrongly."""
LONG_SECONDS = 600.0
"""A program without checkpoints that ran this long counts as having come somewhere."""
SPARE_BYTES = 64 * 2**20
MOST_JOBS_IN_VAIN = 3
"""So many jobs of Slurm in a row that ended at their time limit without a newer checkpoint."""
MOST_IN_VAIN = 5
"""So many attempts in a row that end on a full disk without a newer checkpoint, though there was room before each."""


class Restart(NamedTuple):
    """The attempt that is to follow."""

    request: Request
    message: str


class Parked(NamedTuple):
    """No further attempt, though the policy would allow for restarts."""

    reason: str


def what_follows(run: Run, plan: Plan, attempt: Attempt, verdict: Verdict) -> Restart | Parked | None:
    """Return what follows on a verdict by itself; ``None``: nothing, it stands as it is."""
    kind = verdict.exit.kind
    outcome = attempt.read_outcome()
    if verdict.state is State.FAILED and outcome and outcome.lighter:
        return _shrunk(attempt, outcome.lighter)
    if verdict.state is State.FAILED and kind == "disk_full" and (plan.kind == "train" or plan.restart_max):
        return _when_there_is_room(plan, attempt, outcome.needed_bytes if outcome else None)
    if verdict.state is not State.FAILED or not plan.restart_max or kind in REPEATED:
        return None
    if _was_started_wrongly(plan, attempt, verdict):
        return None
    before = attempt.read_request()
    fruitless = 1 if _came_somewhere(plan, attempt) else before.fruitless + 1
    most = 1 if kind in OUT_OF_MEMORY else plan.restart_max
    if kind in OUT_OF_MEMORY and _steps_done(attempt) < STEPS_THAT_PROVE_MEMORY:
        return None
    if fruitless > most:
        tries = "One restart" if most == 1 else f"{most} restarts in a row"
        return Parked(f"{tries} brought no newer checkpoint.")
    if _restarts_today(run) >= MOST_PER_DAY:
        return Parked(f"It was restarted {MOST_PER_DAY} times within a day.")
    delay_seconds = _backoff_seconds(plan, fruitless)
    request = Request(
        NEWEST, not_before=time.time() + delay_seconds, fruitless=fruitless, settings=before.settings
    )
    return Restart(request, f"Restart {fruitless} of {most} in {delay_seconds:.0f} s.")


def after_time_limit(plan: Plan, attempt: Attempt) -> Restart | Parked:
    """Return what follows when a job of Slurm has saved before its time limit: another job, as long as it gets on."""
    before = attempt.read_request()
    # A program of one's own keeps its place itself, if at all: nobody knows whether it came somewhere.
    in_vain = plan.kind == "train" and not _came_somewhere(plan, attempt)
    fruitless = before.fruitless + 1 if in_vain else 0
    if fruitless >= MOST_JOBS_IN_VAIN:
        return Parked(
            f"{MOST_JOBS_IN_VAIN} jobs in a row reached their time limit without a newer checkpoint: raise "
            "run.slurm.time, or save more often."
        )
    return Restart(
        Request(NEWEST, fruitless=fruitless, settings=before.settings), "It goes back to Slurm's queue."
    )


def parked(verdict: Verdict, why: Parked) -> Verdict:
    """Return the verdict on a run that is not restarted any more."""
    return Verdict(State.PARKED, verdict.exit._replace(message=f"{verdict.exit.message} {why.reason}"))


def _shrunk(attempt: Attempt, lighter: Json) -> Restart:
    """Go on at once with less memory; not counted, since the settings come to an end by themselves."""
    before = attempt.read_request()
    settings = {**(before.settings or {}), **lighter}
    words = ", ".join(f"{key}: {value}" for key, value in lighter.items())
    return Restart(
        Request(NEWEST, fruitless=before.fruitless, settings=settings), f"It goes on with {words}."
    )


def _when_there_is_room(plan: Plan, attempt: Attempt, needed_bytes: int | None) -> Restart | Parked:
    """Wait for the disk, without counting, as long as there was too little room; a quota shows as room that is none."""
    before = attempt.read_request()
    needed = max(needed_bytes or 0, _largest_checkpoint_bytes(plan)) + SPARE_BYTES
    output_dir = Path(plan.output_dir)
    is_short = free_bytes(output_dir) < needed or not has_free_inodes(output_dir)
    fruitless = 0 if is_short or _came_somewhere(plan, attempt) else before.fruitless + 1
    if fruitless > MOST_IN_VAIN:
        return Parked(
            f"{MOST_IN_VAIN} more attempts met a full disk where room was shown: a quota, or another program's files."
        )
    delay_seconds = _backoff_seconds(plan, fruitless - 1) if fruitless > 1 else 1.0
    request = Request(
        NEWEST,
        not_before=time.time() + delay_seconds,
        free_bytes=needed,
        fruitless=fruitless,
        settings=before.settings,
    )
    return Restart(request, f"It goes on when {needed / 1e9:.2f} GB are free.")


class Wait:
    """What an attempt that was planned waits for: a moment, and room on its disks.

    The moment is turned into one of the monotonic clock at the first look, since the wall clock may be set meanwhile.
    A supervisor that follows a killed one has only the wall clock to begin with, and waits no longer than the policy's
    longest back-off.
    """

    def __init__(self, request: Request, plan: Plan, run_dir: Path) -> None:
        self._request, self._output_dir, self._run_dir = request, Path(plan.output_dir), run_dir
        longest = max(plan.restart_backoff_seconds or 0.0, LONGEST_BACKOFF_SECONDS) * (1 + JITTER)
        left_seconds = min((request.not_before or 0.0) - time.time(), longest)
        self._until = time.monotonic() + left_seconds

    def reason(self) -> str:
        """Return what is still waited for, for people; ``""`` when the attempt may begin."""
        if (left_seconds := self._until - time.monotonic()) > 0:
            return f"restarts in {left_seconds:.0f} s"
        if self._request.free_bytes is not None:
            # Which of the two disks was full is not always said; logs and metrics need little.
            needs = ((self._output_dir, self._request.free_bytes), (self._run_dir, SPARE_BYTES))
            for folder, needed_bytes in needs:
                # A program without checkpoints has no folder for them; it would be made on its parent's disk.
                if (free := free_bytes(folder)) < needed_bytes:
                    sizes = f"{free / 1e9:.2f} of {needed_bytes / 1e9:.2f} GB are free"
                    return f"waits for room on the disk of {folder}: {sizes}"
                if not has_free_inodes(folder):
                    return (
                        f"waits for room on the disk of {folder}: it can take no more files (no free inodes)"
                    )
        return ""


def _was_started_wrongly(plan: Plan, attempt: Attempt, verdict: Verdict) -> bool:
    ended = attempt.read_exit()
    lived_seconds = ended.ended_at - ended.started_at if ended else QUICK_SECONDS
    is_unknown = verdict.exit.kind in ("error", "exit_code") and plan.kind == "train"
    return is_unknown and lived_seconds < QUICK_SECONDS and _steps_done(attempt) == 0


def _came_somewhere(plan: Plan, attempt: Attempt) -> bool:
    """Whether the attempt left a newer checkpoint than it began with."""
    if plan.kind != "train":
        ended = attempt.read_exit()
        return ended is not None and ended.ended_at - ended.started_at > LONG_SECONDS
    sealed = [each.step for each in list_checkpoints(Path(plan.output_dir)) if each.complete]
    return max(sealed, default=0) > _first_step(attempt)


def _steps_done(attempt: Attempt) -> int:
    progress = attempt.read_progress()
    return max(0, progress.step - _first_step(attempt)) if progress else 0


def _first_step(attempt: Attempt) -> int:
    launch = attempt.read_launch()
    return (launch.resume_step or 0) if launch else 0


def _largest_checkpoint_bytes(plan: Plan) -> int:
    """Return the room for the next checkpoint: that of the largest so far and a fifth more."""
    sizes = [each.size_bytes for each in list_checkpoints(Path(plan.output_dir)) if each.complete]
    return int(1.2 * max(sizes, default=0))


def _restarts_today(run: Run) -> int:
    since = time.time() - DAY_SECONDS
    return sum(event.event == EVENT and event.time > since for event in read_events(run.events_path))


def _backoff_seconds(plan: Plan, fruitless: int) -> float:
    first = FIRST_BACKOFF_SECONDS if plan.restart_backoff_seconds is None else plan.restart_backoff_seconds
    backoff_seconds: float = min(first * 2 ** (fruitless - 1), max(first, LONGEST_BACKOFF_SECONDS))
    return backoff_seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
