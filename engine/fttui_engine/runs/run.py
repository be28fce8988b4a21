"""A run's folder by its parts, and finding runs by what a person types."""

import errno
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fttui_engine.errors import NoSuchRunError, WrongRequestError
from fttui_engine.runs.attempt import Attempt
from fttui_engine.runs.files import (
    SCHEMA,
    DamagedFileError,
    finite_number,
    read_json,
    read_json_or_none,
    write_json,
)
from fttui_engine.runs.home import PRIVATE_FOLDER, runs_folder

MOST_OF_ONE_NAME = 100_000
LOG_MAX_BYTES = 2 * 2**30

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID = re.compile(_NAME.pattern + r"(?:\.[0-9]{1,6})?")
"""A name, with the number behind it that makes it unique."""

STALE_SECONDS = 3600.0
"""A folder that was being prepared or deleted this long ago belongs to a process that was killed meanwhile."""


class Plan(NamedTuple):
    """What every attempt of a run has in common; written once."""

    name: str
    kind: str
    """``train`` for our worker, which saves when asked by file; ``command`` for any other program."""
    argv: list[str]
    environment: dict[str, str]
    """What is added to the environment that ``fttui start`` had."""
    cwd: str
    output_dir: str
    gpus: list[int] | None
    """The GPUs that the run may see; ``None`` where it takes none or all."""
    grace_seconds: float
    """How long a stop waits for the run to save before it is killed."""
    restart_max: int = 0
    """Restarts in a row after failures, without a newer checkpoint in between."""
    restart_backoff_seconds: float | None = None
    log_max_bytes: int = LOG_MAX_BYTES
    """What the log of an attempt may take; beyond that its middle is cut out."""
    leases: tuple[str, ...] = ()
    """What of this host the run has to itself while it lives, by the names of the locks."""
    resume_after_reboot: bool = False
    hang_seconds: float | None = None
    """How long nothing may be done before the attempt is ended as hung: 0 for ever, ``None`` by the pace observed."""
    launcher: str = "local"
    """``slurm`` where a job of Slurm runs it, on another machine than where it was started."""


class _Inside:
    """A path in the run directory, put together when it is asked for: 15 of them cost as much as reading a state."""

    def __init__(self, *parts: str) -> None:
        self._parts = parts

    def __get__(self, run: "Run", _owner: type["Run"]) -> Path:
        return run.path.joinpath(*self._parts)


class Run:
    """One run directory; only this package knows the names of the files in it."""

    spec_path = _Inside("spec.yaml")
    plan_path = _Inside("plan.json")
    state_path = _Inside("state.json")
    events_path = _Inside("events.jsonl")
    metrics_path = _Inside("metrics.jsonl")
    keeper_path = _Inside("keeper.json")
    keeper_lock_path = _Inside("keeper.lock")
    lease_path = _Inside("lease.json")
    queue_path = _Inside("queue.json")
    lock_path = _Inside("lock")
    supervisor_log_path = _Inside("supervisor.log")
    slurm_path = _Inside("slurm.json")
    slurm_script_path = _Inside("slurm.sh")
    slurm_log_path = _Inside("slurm.log")
    environment_path = _Inside("environment.json")
    new_commands_dir = _Inside("commands", "new")
    done_commands_dir = _Inside("commands", "done")
    checkpoints_dir = _Inside("checkpoints")
    _attempts_dir = _Inside("attempts")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name

    @property
    def home(self) -> Path:
        """The state folder that the run belongs to."""
        return self.path.parent.parent

    def attempt(self, number: int) -> Attempt:
        """Return one attempt; its folder need not exist."""
        return Attempt(self._attempts_dir / f"{number:03d}")

    def latest_attempt_number(self) -> int:
        """Return the number of the latest attempt, 0 where there is none."""
        try:
            names = os.listdir(self._attempts_dir)
        except FileNotFoundError:
            return 0
        return max((int(name) for name in names if re.fullmatch("[0-9]{3,5}", name)), default=0)

    def attempts(self) -> list[Attempt]:
        """Return the attempts that have a folder, oldest first."""
        numbers = range(1, self.latest_attempt_number() + 1)
        return [attempt for number in numbers if (attempt := self.attempt(number)).path.is_dir()]

    def read_plan(self) -> Plan:
        """Return the plan; raises DamagedFileError where there is none."""
        value = read_json(self.plan_path)
        try:
            if value is None:
                raise KeyError("plan")
            gpus = value.get("gpus")
            return Plan(
                name=str(value["name"]),
                kind=str(value["kind"]),
                argv=[str(argument) for argument in value["argv"]],
                environment={str(key): str(item) for key, item in value["environment"].items()},
                cwd=str(value["cwd"]),
                output_dir=str(value["output_dir"]),
                gpus=[int(gpu) for gpu in gpus] if isinstance(gpus, list) else None,
                grace_seconds=float(value["grace_seconds"]),
                restart_max=int(value.get("restart_max") or 0),
                restart_backoff_seconds=finite_number(value.get("restart_backoff_seconds")),
                log_max_bytes=int(value.get("log_max_bytes") or LOG_MAX_BYTES),
                leases=tuple(str(lease) for lease in value.get("leases") or ()),
                resume_after_reboot=value.get("resume_after_reboot") is True,
                hang_seconds=finite_number(value.get("hang_seconds")),
                launcher=str(value.get("launcher") or "local"),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DamagedFileError(f"{self.plan_path} is damaged or missing: {error}") from error

    def write_plan(self, plan: Plan) -> None:
        """Record the plan."""
        write_json(self.plan_path, {"schema": SCHEMA, **plan._asdict()})

    @property
    def output_dir(self) -> Path:
        """Where checkpoints and the final model are."""
        value = read_json_or_none(self.plan_path) or {}
        return Path(str(value.get("output_dir") or self.checkpoints_dir))


def check_name(name: str) -> str:
    """Return ``name`` if it can be a run's name, else raise WrongRequestError.

    It becomes a folder, an argument and a word on screens: it cannot leave the state folder or look like an option.
    """
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= 80 else name[:77] + "..."
        raise WrongRequestError(
            f"{shown!r} cannot be the name of a run",
            "use 1 to 64 letters, digits, '.', '_' and '-', beginning with a letter or digit",
        )
    return name


def all_runs(home: Path | None = None) -> list[Run]:
    """Return the runs of a state folder, oldest first."""
    return [Run(Path(path)) for _, _, path in run_entries(runs_folder(home))]


def run_entries(folder: Path) -> list[tuple[float, str, str]]:
    """Return when each run was made, its id and its path, oldest first."""
    found: list[tuple[float, str, str]] = []
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    for entry in entries:
        if not _ID.fullmatch(entry.name):
            continue
        try:
            plan_written = os.stat(os.path.join(entry.path, "plan.json")).st_mtime
        except OSError:
            continue
        found.append((plan_written, entry.name, entry.path))
    return sorted(found)


def find_run(reference: str, home: Path | None = None) -> Run:
    """Return the run that a person means by its id or by the beginning of its id.

    Raises NoSuchRunError, or WrongRequestError where several runs fit.
    """
    if _ID.fullmatch(reference):
        exact = Run(runs_folder(home) / reference)
        if exact.plan_path.exists():
            return exact
    runs = all_runs(home)
    fitting = [run for run in runs if reference and run.id.startswith(reference)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(run.id for run in fitting[-8:])
        raise WrongRequestError(f"{reference!r} fits several runs", f"say which one: {names}")
    raise NoSuchRunError(f"there is no run {reference!r}", _nearest(reference, [run.id for run in runs]))


def claim_run_folder(
    name: str, prepared: Path, finish: Callable[[Run], None], home: Path | None = None
) -> Run:
    """Move a prepared folder to its place and return the run: ``name``, or ``name.2`` where that is taken.

    ``finish`` writes into the prepared folder what depends on the id. The rename is atomic and fails on a folder
    that is there, so two starts at once get two runs, and a crash leaves either a whole run or none.
    """
    runs = runs_folder(home)
    for number in range(1, MOST_OF_ONE_NAME):
        run = Run(runs / (name if number == 1 else f"{name}.{number}"))
        if run.path.exists():
            continue
        finish(run)
        try:
            os.rename(prepared, run.path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            continue
        return run
    raise WrongRequestError(f"there are too many runs named {name!r}", "remove some with: fttui rm RUN")


def hidden_run_folder(home: Path | None = None) -> Path:
    """Return where a run can be prepared: a new name that no reader takes for a run; nothing is created yet."""
    return runs_folder(home) / f".new-{os.getpid()}-{os.urandom(4).hex()}"


def new_run_folder(folder: Path) -> Run:
    """Create the folders of a run and return it."""
    folder.mkdir(mode=PRIVATE_FOLDER)
    for part in ("attempts", "commands", "commands/new", "commands/done"):
        (folder / part).mkdir(mode=PRIVATE_FOLDER)
    return Run(folder)


def delete_run_folder(run: Run) -> None:
    """Delete a run directory; it vanishes from all lists at once, even if the deletion is cut short."""
    import shutil

    doomed = run.path.with_name(f".deleted-{run.id}-{os.urandom(4).hex()}")
    os.rename(run.path, doomed)
    shutil.rmtree(doomed)


def delete_stale_folders(home: Path | None = None) -> None:
    """Delete what a start or a deletion that was killed left behind."""
    try:
        entries = [
            entry
            for entry in os.scandir(runs_folder(home))
            if entry.name.startswith((".new-", ".deleted-"))
            and time.time() - entry.stat(follow_symlinks=False).st_ctime > STALE_SECONDS
        ]
    except OSError:
        return
    for entry in entries:
        import shutil

        shutil.rmtree(entry.path, ignore_errors=True)


def _nearest(reference: str, ids: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(reference, ids, n=1)
    return f"did you mean {close[0]}?" if close else "fttui ls shows all runs"
