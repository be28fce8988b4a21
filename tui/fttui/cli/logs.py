"""``fttui logs``: what a run has written, with everything taken out that could drive the terminal."""

import sys
import time
from argparse import Namespace
from collections import deque
from pathlib import Path

from fttui_engine.errors import ExitCode, WrongRequestError
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.logs import LogFollower, read_log, tail
from fttui_engine.runs.run import Run, find_run

POLL_SECONDS = 0.2


def logs(arguments: Namespace) -> int:
    """Print the log of the latest attempt, or of the one that was asked for."""
    run = find_run(arguments.run)
    attempt = run.attempt(arguments.attempt or read_state(run).attempt or 1)
    if not attempt.path.is_dir():
        raise WrongRequestError(f"{run.id} has no attempt {attempt.number}")
    if arguments.rank and arguments.follow:
        raise WrongRequestError("--rank and --follow exclude each other", "leave one of them out")
    if arguments.rank:
        _print_rank(attempt.log_path, arguments.rank, arguments.lines)
    elif arguments.follow:
        print_tail(attempt.log_path, 10 if arguments.lines is None else arguments.lines)
        follow(run, arguments.attempt)
    elif arguments.lines is not None:
        print_tail(attempt.log_path, arguments.lines)
    else:
        for line in read_log(attempt.log_path):
            print(line)
    return ExitCode.DONE


def _print_rank(path: Path, rank: int, lines: int | None) -> None:
    """Print the lines of a rank behind the first one; its mark stands before each."""
    found = deque((line for line in read_log(path) if line.startswith(f"[rank{rank}]")), maxlen=lines)
    if not found:
        raise WrongRequestError(f"no line of the log is by rank {rank}", "rank 0 speaks for all of them")
    for line in found:
        print(line)


def print_tail(path: Path, lines: int) -> None:
    """Print the last lines of a log."""
    for line in tail(path, lines):
        print(line)


def follow(run: Run, attempt_number: int | None = None, *, from_start: bool = False) -> None:
    """Print what is added to a run's log until the run has ended, also over a later attempt."""
    number = attempt_number or read_state(run).attempt or 1
    follower = LogFollower(run.attempt(number).log_path, from_start=from_start)
    while True:
        state = read_state(run)
        for line in follower.poll():
            print(line)
        sys.stdout.flush()
        if attempt_number is None and state.attempt > number:
            number = state.attempt
            follower = LogFollower(run.attempt(number).log_path, from_start=True)
        elif not state.state.is_live or state.attempt > number:
            for line in follower.rest():
                print(line)
            return
        time.sleep(POLL_SECONDS)
