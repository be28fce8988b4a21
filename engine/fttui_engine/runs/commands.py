"""The viewers' wishes: small files that a supervisor takes in order and answers."""

import os
import time
from typing import NamedTuple

from fttui_engine.runs.files import SCHEMA, Json, read_json_or_none, write_json
from fttui_engine.runs.run import Run

STOP = "stop"
"""Save at the next step boundary, then end."""
KILL = "kill"
"""End now; what was trained since the last checkpoint is lost."""
REQUEUE = "requeue"
"""Save and go back to Slurm's queue; asked for by the run's own job, when its time is nearly over."""


class Command(NamedTuple):
    """One wish; ``name`` is its file's name, which sorts by time."""

    name: str
    verb: str
    client: str


class Answer(NamedTuple):
    """What became of a wish."""

    accepted: bool
    message: str


def drop_command(run: Run, verb: str) -> Command:
    """Ask something of the run's supervisor, whoever and wherever it is."""
    client = f"{os.uname().nodename} pid {os.getpid()} uid {os.getuid()}"
    command = Command(f"{time.time_ns():020d}-{os.urandom(4).hex()}.json", verb, client)
    write_json(
        run.new_commands_dir / command.name, {"schema": SCHEMA, "time": time.time(), **command._asdict()}
    )
    return command


def waiting_commands(run: Run) -> list[Command]:
    """Return the unanswered wishes, oldest first; one that cannot be read has the verb ``""``."""
    try:
        names = os.listdir(run.new_commands_dir)
    except FileNotFoundError:
        return []
    commands = []
    for name in sorted(name for name in names if not name.startswith(".")):
        value = read_json_or_none(run.new_commands_dir / name) or {}
        commands.append(Command(name, str(value.get("verb", "")), str(value.get("client", "somebody"))))
    return commands


def answer_command(run: Run, command: Command, answer: Answer) -> None:
    """Record the answer, then take the wish away: a crash in between only answers it again."""
    value: Json = {"schema": SCHEMA, "time": time.time(), **command._asdict(), "answer": answer._asdict()}
    write_json(run.done_commands_dir / command.name, value)
    (run.new_commands_dir / command.name).unlink(missing_ok=True)


def refuse_commands(run: Run, message: str) -> None:
    """Answer all wishes that still wait with a no."""
    for command in waiting_commands(run):
        answer_command(run, command, Answer(False, message))


def read_answer(run: Run, command: Command) -> Answer | None:
    """Return what became of a wish, ``None`` while nobody has taken it."""
    value = read_json_or_none(run.done_commands_dir / command.name)
    answer = value.get("answer") if value else None
    if not isinstance(answer, dict):
        return None
    return Answer(bool(answer.get("accepted")), str(answer.get("message", "")))


def withdraw_command(run: Run, command: Command) -> bool:
    """Take back a wish that nobody answered; False if it was taken meanwhile."""
    try:
        (run.new_commands_dir / command.name).unlink()
    except FileNotFoundError:
        return False
    return True
