"""One attempt of a run: what it was asked, how far it is, how it ended."""

import time
from pathlib import Path
from typing import NamedTuple

from fttui_engine.runs.files import (
    SCHEMA,
    Json,
    finite_number,
    moment,
    number,
    read_json_or_none,
    whole_number,
    write_json,
)

SCRATCH = "scratch"
NEWEST = "newest"


class Request(NamedTuple):
    """Where an attempt is to start: at step 0, at the newest sealed checkpoint, or at the one of a given step."""

    resume: str
    step: int | None = None
    not_before: float | None = None
    """An attempt that follows a failed one by itself waits until then."""
    free_bytes: int | None = None
    """... and until the disk of the output folder has this much room."""
    fruitless: int = 0
    """Attempts in a row, this one included, that were made since the last newer checkpoint."""
    settings: Json | None = None
    """What to train with in place of the configuration, because memory ran out before."""


class Launch(NamedTuple):
    """The exact command of one attempt."""

    argv: list[str]
    environment: dict[str, str]
    cwd: str
    resume_from: str | None
    """The folder of a checkpoint that was verified in full, ``None`` to start at step 0."""
    resume_step: int | None


class Progress(NamedTuple):
    """How far rank 0 is; rates and the time left are those of this attempt."""

    phase: str
    """``loading``, ``data``, ``train``, ``eval``, ``save`` or ``done``."""
    step: int = 0
    max_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    tokens_per_second: float | None = None
    step_seconds: float | None = None
    eta_seconds: float | None = None
    time: float | None = None
    pid: int | None = None


class Outcome(NamedTuple):
    """The truth about training, written by rank 0; the exit code of a launcher in between may lie."""

    result: str
    """``finished``, ``stopped`` or ``failed``."""
    step: int
    max_steps: int | None
    message: str
    advice: str = ""
    kind: str = ""
    """For ``failed``: the class of failure, such as ``oom_cuda``, ``data``, ``disk_full``."""
    checkpoint: str | None = None
    lighter: Json | None = None
    """Settings that need less memory for the same result, where the user allows for them."""
    needed_bytes: int | None = None
    """For ``disk_full``: the room without which the next attempt would end as this one did."""


class Exit(NamedTuple):
    """The truth about the attempt's process, written by the keeper."""

    pid: int
    code: int | None
    signal: int | None
    started_at: float
    ended_at: float


class RankFailure(NamedTuple):
    """Why one of several ranks failed; the earliest is the cause, the others only lost their peer."""

    time: float
    rank: int
    outcome: Outcome


_PROGRESS_NUMBERS = ("epoch", "tokens_per_second", "step_seconds", "eta_seconds")


class Attempt:
    """The folder ``attempts/<number>`` of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = int(path.name)
        self.log_path = path / "log"
        self.lock_path = path / "lock"
        self.stop_request_path = path / "stop.request"
        self.notices_path = path / "notices.jsonl"
        self.stacks_path = path / "stacks"
        self._exit_path = path / "exit.json"

    def pulse_path_of(self, rank: int) -> Path:
        """Return where a rank says how often it has got on."""
        return self.path / f"pulse.rank{rank}"

    def stacks_path_of(self, rank: int) -> Path:
        """Return where a rank writes, when asked, what each of its threads is doing."""
        return self.stacks_path / f"rank{rank}.txt"

    def create(self, request: Request) -> None:
        """Create the folder with what is asked of the attempt."""
        self.path.mkdir(mode=0o700, parents=True)
        write_json(self.path / "request.json", {"schema": SCHEMA, **request._asdict()})

    def read_request(self) -> Request:
        """Return where the attempt is to start; the newest checkpoint where nothing can be read."""
        value = read_json_or_none(self.path / "request.json") or {}
        return Request(
            str(value.get("resume", NEWEST)),
            whole_number(value.get("step")),
            moment(value.get("not_before")),
            whole_number(value.get("free_bytes")),
            whole_number(value.get("fruitless")) or 0,
            _object_or_none(value.get("settings")),
        )

    def withdraw_launch(self) -> None:
        """Forget a command that was decided on and never started."""
        (self.path / "launch.json").unlink(missing_ok=True)

    def write_launch(self, launch: Launch) -> None:
        """Record the exact command, before it is run."""
        write_json(self.path / "launch.json", {"schema": SCHEMA, **launch._asdict()})

    def read_launch(self) -> Launch | None:
        """Return the exact command, ``None`` where it is not decided yet or cannot be read."""
        value = read_json_or_none(self.path / "launch.json") or {}
        argv = value.get("argv")
        if not isinstance(argv, list) or not argv:
            return None
        return Launch(
            argv=[str(argument) for argument in argv],
            environment=_texts(value.get("environment")),
            cwd=str(value.get("cwd", "/")),
            resume_from=_text_or_none(value.get("resume_from")),
            resume_step=whole_number(value.get("resume_step")),
        )

    def request_stop(self) -> None:
        """Ask rank 0 to save and stop at the next step boundary."""
        write_json(self.stop_request_path, {"schema": SCHEMA, "time": time.time()})

    def stop_requested(self) -> bool:
        """Whether rank 0 has been asked to save and stop."""
        return self.stop_request_path.exists()

    def write_progress(self, progress: Progress) -> None:
        """Replace ``progress.json``; not synced, since it is worthless after a power cut."""
        write_json(self.path / "progress.json", {"schema": SCHEMA, **progress._asdict()}, durable=False)

    def read_progress(self) -> Progress | None:
        """Return how far the attempt is, ``None`` before its first word."""
        value = read_json_or_none(self.path / "progress.json")
        if value is None or not isinstance(value.get("phase"), str):
            return None
        numbers: Json = {name: finite_number(value.get(name)) for name in _PROGRESS_NUMBERS}
        return Progress(
            phase=value["phase"],
            step=whole_number(value.get("step")) or 0,
            max_steps=whole_number(value.get("max_steps")),
            pid=whole_number(value.get("pid")),
            loss=number(value.get("loss")),
            time=moment(value.get("time")),
            **numbers,
        )

    def write_outcome(self, outcome: Outcome) -> None:
        """Record how training ended; the last thing that rank 0 does."""
        write_json(self.path / "outcome.json", {"schema": SCHEMA, "time": time.time(), **outcome._asdict()})

    def write_rank_failure(self, rank: int, outcome: Outcome) -> None:
        """Record why one of several ranks failed; whoever started them makes the outcome of it."""
        value = {"schema": SCHEMA, "time": time.time(), **outcome._asdict()}
        write_json(self.path / f"failure.rank{rank}.json", value)

    def read_rank_failure(self, rank: int) -> RankFailure | None:
        """Return why a rank failed, ``None`` where it did not say."""
        path = self.path / f"failure.rank{rank}.json"
        outcome = _read_outcome(path)
        said_at = moment((read_json_or_none(path) or {}).get("time"))
        return RankFailure(said_at or 0.0, rank, outcome) if outcome else None

    def read_outcome(self) -> Outcome | None:
        """Return how training ended, ``None`` if it did not say."""
        return _read_outcome(self.path / "outcome.json")

    def write_exit(self, ended: Exit) -> None:
        """Record how the attempt's process ended."""
        write_json(self._exit_path, {"schema": SCHEMA, **ended._asdict()})

    def read_exit(self) -> Exit | None:
        """Return how the process ended, ``None`` if it runs or nobody was there to see."""
        value = read_json_or_none(self._exit_path) or {}
        pid = whole_number(value.get("pid"))
        if pid is None:
            return None
        return Exit(
            pid=pid,
            code=whole_number(value.get("code")),
            signal=whole_number(value.get("signal")),
            started_at=moment(value.get("started_at")) or 0.0,
            ended_at=moment(value.get("ended_at")) or 0.0,
        )


def _read_outcome(path: Path) -> Outcome | None:
    value = read_json_or_none(path)
    if value is None or value.get("result") not in ("finished", "stopped", "failed"):
        return None
    return Outcome(
        result=value["result"],
        step=whole_number(value.get("step")) or 0,
        max_steps=whole_number(value.get("max_steps")),
        message=str(value.get("message") or ""),
        advice=str(value.get("advice") or ""),
        kind=str(value.get("kind") or ""),
        checkpoint=_text_or_none(value.get("checkpoint")),
        lighter=_object_or_none(value.get("lighter")),
        needed_bytes=whole_number(value.get("needed_bytes")),
    )


def _texts(value: object) -> dict[str, str]:
    return {str(key): str(item) for key, item in value.items()} if isinstance(value, dict) else {}


def _object_or_none(value: object) -> Json | None:
    return value if isinstance(value, dict) and value else None


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
