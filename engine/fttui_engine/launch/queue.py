"""Queueing runs: what they wait for, and sets of runs that differ in some keys (sweeps)."""

import itertools
import re
import time
from typing import TYPE_CHECKING, NamedTuple

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.queueing import MOST_PRIORITY, QueueRequest, read_queue_request
from fttui_engine.runs.run import Run, all_runs, find_run
from fttui_engine.runs.states import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fttui_engine.launch.gpu_choice import Wanted

MOST_OF_A_SWEEP = 100
"""Each waiting run is two small processes."""
NAME_LENGTH = 64
SHORT = {
    "learning_rate": "lr",
    "lora_rank": "rank",
    "lora_alpha": "alpha",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch",
    "gradient_accumulation_steps": "accumulation",
    "weight_decay": "decay",
}


class QueueWish(NamedTuple):
    """What a person asks of the queue."""

    priority: int = 0
    after: tuple[str, ...] = ()
    """Runs, by their ids or the beginning of them."""
    backfill: bool = False
    sweep: str = ""
    varied: tuple[tuple[str, str], ...] = ()

    def request(self, wanted: "Wanted") -> QueueRequest:
        """Return what is recorded for a run that wants these GPUs; raises WrongRequestError, NoSuchRunError."""
        from fttui_engine.supervise.leases import lock_folder

        lock_folder()  # better refused now than waiting for ever
        if abs(self.priority) > MOST_PRIORITY:
            raise WrongRequestError(f"--priority goes from -{MOST_PRIORITY} to {MOST_PRIORITY}")
        gpus = _require(wanted)
        count, only = (len(gpus), gpus) if isinstance(gpus, tuple) else (gpus, ())
        after = tuple(dict.fromkeys(_to_follow(find_run(each)).id for each in self.after))
        return QueueRequest(
            time.time(), count, only, self.priority, self.backfill, after, self.sweep, self.varied
        )


class Variation(NamedTuple):
    """One run of a sweep."""

    name: str
    overrides: tuple[str, ...]
    varied: tuple[tuple[str, str], ...]


def resume_request(run: Run) -> QueueRequest:
    """Return the request of a run that is to wait until it can go on: as many GPUs as it had."""
    before, gpus = read_queue_request(run.queue_path), run.read_plan().gpus or []
    if before:
        return before._replace(queued_at=time.time(), after=())
    return QueueRequest(time.time(), len(gpus))


def variations(base: str, sweeps: "Iterable[str]") -> list[Variation]:
    """Return the runs of a sweep, every combination of ``KEY=VALUE,VALUE`` once; raises WrongRequestError."""
    axes = [_axis(sweep) for sweep in sweeps]
    keys = [key for key, _ in axes]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise WrongRequestError(f"--sweep names {twice} twice", f"write all values at once: {twice}=A,B,C")
    combinations = list(itertools.product(*(values for _, values in axes)))
    if len(combinations) > MOST_OF_A_SWEEP:
        raise WrongRequestError(
            f"this sweep has {len(combinations)} runs; {MOST_OF_A_SWEEP} are the most", "name fewer values"
        )
    found = []
    for values in combinations:
        varied = tuple(zip(keys, values, strict=True))
        overrides = tuple(f"{key}={value}" for key, value in varied)
        found.append(Variation(_name(base, varied), overrides, varied))
    return found


def sweep_name(base: str) -> str:
    """Return a name that no sweep has yet: ``base``, or ``base.2``."""
    taken = {sweep_of(run) for run in all_runs()}
    numbered = (base if number == 1 else f"{base}.{number}" for number in itertools.count(1))
    return next(name for name in numbered if name not in taken)


def sweep_of(run: Run) -> str:
    """Return the name of the sweep that a run belongs to, ``""`` for none."""
    request = read_queue_request(run.queue_path)
    return request.sweep if request else ""


def _require(wanted: "Wanted") -> int | tuple[int, ...]:
    if wanted in ("none", 0):
        return 0
    from fttui_engine.launch.gpu_choice import require_gpus

    return require_gpus(wanted)


def _axis(text: str) -> tuple[str, list[str]]:
    key, equals, values = text.partition("=")
    found = list(_split(values))
    if not equals or not key.strip() or not all(found):
        raise WrongRequestError(f"--sweep {text!r} is no KEY=VALUE,VALUE", "such as learning_rate=1e-4,2e-4")
    if len(set(found)) != len(found):
        raise WrongRequestError(f"--sweep {text!r} names a value twice")
    return key.strip(), found


def _split(text: str) -> "Iterator[str]":
    """Split at the commas that are in no brackets: a value may be a list."""
    depth, start = 0, 0
    for place, character in enumerate(text):
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            yield text[start:place].strip()
            start = place + 1
    yield text[start:].strip()


def _name(base: str, varied: tuple[tuple[str, str], ...]) -> str:
    parts = [SHORT.get(key, key.replace("_", "-")) + value.rpartition("/")[2] for key, value in varied]
    suffix = re.sub(r"[^A-Za-z0-9._+-]+", "-", "-".join(parts)).replace("+", "").strip("-.")
    room = NAME_LENGTH - len(suffix) - 1
    # A number is put behind names that are equal; the values stand in `fttui sweep`.
    return f"{base[:room].rstrip('-.')}-{suffix}" if room >= 8 else f"{base[:40].rstrip('-.')}-sweep"


def _to_follow(run: Run) -> Run:
    from fttui_engine.runs.journal import read_state

    state = read_state(run).state
    if state in (State.FAILED, State.STOPPED, State.PARKED):
        raise WrongRequestError(
            f"--after {run.id}: it is {state} and will not finish by itself", f"fttui resume {run.id} first"
        )
    return run
