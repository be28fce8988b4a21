"""TensorBoard, Weights & Biases, trackio: transformers' own callbacks, kept from ever stopping or slowing a run.

They run in a thread of their own. What they raise is said once in the log, and they are left out from then on; while
they are slow (no network, a full disk), events wait in a queue that is cut when it grows too long.
"""

import copy
import os
import queue
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from fttui_engine.spec.config import TrainingConfig

_MOST_WAITING_EVENTS = 10_000
# A tracker that has more to send than this at the end is left behind; metrics.jsonl has everything.
_SECONDS_TO_FINISH = 20.0


def add_trackers(trainer: Any, config: TrainingConfig, run: Path, log: Callable[[str], None]) -> None:
    """Add the trackers of ``report_to``; their own settings come from the environment, which has the secrets."""
    names = [name for name in config.report_to if name != "none"]
    if not names:
        return
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    _set_places(config, run)
    trainer.args.run_name = run.name
    if config.project:
        trainer.args.project = config.project
    for name in names:
        trainer.add_callback(BackgroundTracker(name, INTEGRATION_TO_CALLBACK[name], log))


def _set_places(config: TrainingConfig, run: Path) -> None:
    """Tell the trackers where to write and what the run is called, unless the environment says so already."""
    # Names come again: on another machine, or when a run is deleted.
    origin = f"{os.uname().nodename} {run} {run.stat().st_ino}"
    places = {
        "TENSORBOARD_LOGGING_DIR": config.logging_dir or os.path.join(config.output_dir, "logs"),
        "WANDB_DIR": config.output_dir,
        # One run of ours is one run there, however many attempts it takes.
        "WANDB_RUN_ID": f"{run.name}-{zlib.crc32(origin.encode()):08x}",
        "WANDB_NAME": run.name,
        "WANDB_RESUME": "allow",
        "WANDB_SILENT": "true",
    }
    if config.project:
        places["WANDB_PROJECT"] = config.project
    for name, value in places.items():
        os.environ.setdefault(name, value)


class BackgroundTracker(TrainerCallback):
    """Hands the events of training to a tracker in another thread and never waits for it."""

    def __init__(self, name: str, make: Callable[[], Any], log: Callable[[str], None]) -> None:
        self._name = name
        self._make = make
        self._log = log
        self._events: queue.Queue[tuple[str, tuple[Any, ...], dict[str, Any]] | None] = queue.Queue(
            _MOST_WAITING_EVENTS
        )
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._failed = self._dropped = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Start the thread; the tracker itself is made there, since that may already wait for a network."""
        self._thread.start()
        self._put("on_train_begin", args, state, control, model=others.get("model"))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Pass on a point of the curves."""
        self._put("on_log", args, state, control, logs=dict(logs or {}))

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Let the tracker finish, for a while."""
        self._put("on_train_end", args, state, control, model=others.get("model"))
        self.close()

    def close(self) -> None:
        """Wait until everything is sent, but not for ever."""
        if not self._thread.is_alive():
            return
        try:
            self._events.put_nowait(None)
        except queue.Full:
            self._dropped = True
        self._thread.join(_SECONDS_TO_FINISH)
        if self._thread.is_alive() or self._dropped:
            self._log(f"warning: {self._name} was too slow to take all points; metrics.jsonl has them")

    def _put(self, event: str, args: Any, state: Any, control: Any, **others: Any) -> None:
        if self._failed:
            return
        # The trainer changes its state while the event waits.
        moment = copy.copy(state)
        try:
            self._events.put_nowait((event, (args, moment, copy.copy(control)), others))
        except queue.Full:
            self._dropped = True

    def _work(self) -> None:
        try:
            tracker = self._make()
            while (item := self._events.get()) is not None:
                event, positional, named = item
                getattr(tracker, event)(*positional, **named)
        except Exception as error:  # noqa: BLE001 - whatever a tracker raises, the run goes on
            self._failed = True
            self._log(
                f"warning: {self._name} failed and gets no more points: {type(error).__name__}: {error}; "
                "metrics.jsonl has them all"
            )
