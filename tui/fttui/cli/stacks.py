"""``fttui stacks``: what every thread of a training is doing right now, or was doing when it was ended as hung."""

import json
import sys
from argparse import Namespace
from typing import NamedTuple

from fttui_engine.errors import ExitCode, WrongRequestError
from fttui_engine.runs.attempt import Attempt
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.logs import plain_text
from fttui_engine.runs.run import Run, find_run
from fttui_engine.runs.stacks import read_dumps


class Shown(NamedTuple):
    """The stacks of one rank with the sentence that stands over them."""

    rank: int
    head: str
    text: str


def stacks(arguments: Namespace) -> int:
    """Print the stacks of a live run's ranks, asked for now, or those that an ended run has left."""
    run = find_run(arguments.run)
    state = read_state(run)
    attempt = run.attempt(state.attempt or 1)
    if run.read_plan().kind != "train":
        raise WrongRequestError(
            f"{run.id} is a program of its own, which cannot be asked where it stands",
            "py-spy dump --pid PID asks a Python program; fttui show says its pid",
        )
    shown = stacks_now(run, attempt) if state.state.is_live else stacks_left(attempt)
    if not shown:
        why = "it has just begun" if state.state.is_live else "nothing asked for them while it ran"
        raise WrongRequestError(f"there are no stacks of {run.id}: {why}")
    if arguments.json:
        print(json.dumps([each._asdict() for each in shown], indent=1))
    else:
        print("\n\n".join(f"{each.head}\n{each.text}".rstrip() for each in shown))
    if state.state.is_live:
        print(f"fttui: the run goes on; they are also in {attempt.stacks_path}", file=sys.stderr)
    return ExitCode.DONE


def stacks_now(run: Run, attempt: Attempt) -> list[Shown]:
    """Ask the ranks; raises WrongRequestError where they are out of reach."""
    from fttui_engine.runs.identity import Liveness
    from fttui_engine.supervise.evidence import recorded_process
    from fttui_engine.supervise.stacks import dump_stacks

    process = recorded_process(run, attempt)
    if process and process.liveness() is Liveness.FOREIGN:
        raise WrongRequestError(
            f"{run.id} runs on {process.host}, or in another container", "ask from there: fttui stacks"
        )
    return [
        Shown(
            stack.pulse.rank,
            f"Rank {stack.pulse.rank} (process {stack.pulse.pid}): {stack.pulse.phase}, step {stack.pulse.step}",
            plain_text(stack.text or stack.why_silent),
        )
        for stack in dump_stacks(attempt, "asked for")
    ]


def stacks_left(attempt: Attempt) -> list[Shown]:
    """Return the last stacks that each rank of an ended attempt has left."""
    return [
        Shown(rank, f"Rank {rank}, {plain_text(dump.head)}", plain_text(dump.text))
        for rank, dump in read_dumps(attempt.stacks_path).items()
    ]
