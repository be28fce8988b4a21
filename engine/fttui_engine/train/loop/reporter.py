"""What the worker tells the world: log lines, ``metrics.jsonl`` and ``progress.json``."""

import math
import os
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from fttui_engine.runs.attempt import Attempt, Progress
from fttui_engine.runs.metrics import MetricsWriter
from fttui_engine.runs.notices import MOST_NOTICES, write_notice
from fttui_engine.runs.pulse import PulseWriter
from fttui_engine.runs.run import Run

# Viewers look a few times a second; one write takes 0.7 ms.
_SECONDS_BETWEEN_PROGRESS = 0.25
# Long enough to be calm, short enough to follow a GPU that gets slower.
_STEPS_FOR_ETA = 100
_WARNING = "warning: "
# What the Trainer logs in every stage; all else is a stage's own measure, such as rewards/margins.
_OF_EVERY_STAGE = ("loss", "learning_rate", "grad_norm", "epoch")


class Reporter:
    """Keeps the clock of this attempt; rates and the time left never count steps of an earlier one."""

    def __init__(self, run: Run, attempt: Attempt, pulse: PulseWriter | None = None) -> None:
        self.run_path = run.path
        self._pulse = pulse
        self._attempt = attempt
        self._metrics = MetricsWriter(run.metrics_path)
        self._progress = Progress("loading", pid=os.getpid())
        self._noticed: set[str] = set()
        self._written_at = -math.inf
        self._clock = time.monotonic()
        self._recent_step_seconds: deque[float] = deque(maxlen=_STEPS_FOR_ETA)
        self._steps = 0
        self._other_seconds = 0.0
        self._window_steps = 0
        self._window_seconds = 0.0
        self._window_tokens_from = 0

    @property
    def step(self) -> int:
        """The step that training has reached."""
        return self._progress.step

    @property
    def max_steps(self) -> int | None:
        """The step at which training ends, ``None`` before that is known."""
        return self._progress.max_steps

    def log(self, line: str) -> None:
        """Write one line to the attempt's log; what begins with ``warning:`` stands in the run's events too."""
        print(line, flush=True)
        if line.startswith(_WARNING):
            self._notice(line.removeprefix(_WARNING))

    def _notice(self, sentence: str) -> None:
        sentence = sentence[:1].upper() + sentence[1:]
        sentence += "" if sentence.endswith(".") else "."
        if sentence not in self._noticed and len(self._noticed) < MOST_NOTICES:
            self._noticed.add(sentence)
            write_notice(self._attempt.notices_path, sentence)

    def phase(self, phase: str) -> None:
        """Say what the worker is doing now."""
        if self._pulse:
            self._pulse.phase(phase)
        if phase != self._progress.phase:
            self._progress = self._progress._replace(phase=phase)
            self._write_progress(now=True)

    def start(self, step: int, max_steps: int, tokens: int) -> None:
        """Start the clock of the training steps."""
        self._progress = self._progress._replace(step=step, max_steps=max_steps, phase="train")
        self._window_tokens_from = tokens
        self._clock = time.monotonic()
        self._write_progress(now=True)

    def step_done(self, step: int, epoch: float) -> None:
        """Count one optimizer step."""
        now = time.monotonic()
        seconds, self._clock = now - self._clock, now
        # The first step also warms up kernels and allocators; it says little about the next ones.
        if self._steps == 1:
            self._recent_step_seconds.clear()
        self._steps += 1
        self._recent_step_seconds.append(seconds)
        if self._pulse:
            self._pulse.stepped(step, self._median_step_seconds() if self._steps > 1 else 0.0)
        self._window_steps += 1
        self._window_seconds += seconds
        self._progress = self._progress._replace(
            step=step, epoch=epoch, phase="train", eta_seconds=self._eta_seconds(step)
        )
        self._write_progress()

    def batch_begun(self) -> None:
        """Count one batch that is trained on."""
        if self._pulse:
            self._pulse.batch()

    def back_to_steps(self) -> None:
        """Resume the clock after an evaluation or a checkpoint: neither makes steps look slow."""
        now = time.monotonic()
        self._other_seconds += now - self._clock
        self._clock = now
        self.phase("train")

    def logged(self, values: Mapping[str, float], tokens: int, gpu_memory_peak_bytes: int | None) -> None:
        """Record one point of the curves; ``tokens`` counts all that were read since step 0."""
        step_seconds = self._window_seconds / self._window_steps if self._window_steps else None
        window_tokens, self._window_tokens_from = tokens - self._window_tokens_from, tokens
        tokens_per_second = window_tokens / self._window_seconds if self._window_seconds else None
        self._window_steps, self._window_seconds = 0, 0.0
        self._progress = self._progress._replace(
            loss=values["loss"], tokens_per_second=tokens_per_second, step_seconds=step_seconds
        )
        more = {name: value for name, value in values.items() if name not in _OF_EVERY_STAGE}
        self._append(
            {
                "time": time.time(),
                "step": self.step,
                "epoch": values["epoch"],
                "loss": values["loss"],
                "learning_rate": values["learning_rate"],
                "grad_norm": values.get("grad_norm"),
                "tokens": tokens,
                "tokens_per_second": tokens_per_second,
                "step_seconds": step_seconds,
                "attempt": self._attempt.number,
            }
            | ({} if gpu_memory_peak_bytes is None else {"gpu_memory_peak_bytes": gpu_memory_peak_bytes})
            | more
        )
        self.log(
            f"step {self.step}/{self.max_steps} loss {values['loss']:.4f} lr {values['learning_rate']:.3g}"
            f" grad_norm {_shown(values.get('grad_norm'))} tok/s {_shown(tokens_per_second)}"
            f" eta {_clock(self._progress.eta_seconds)}{_listed(more)}"
        )
        self._write_progress()

    def evaluated(self, step: int, epoch: float | None, metrics: Mapping[str, Any]) -> None:
        """Record one evaluation."""
        self._append(
            {"time": time.time(), "step": step, "epoch": epoch, **metrics, "attempt": self._attempt.number}
        )
        clocks = ("_runtime", "_per_second")
        more = {
            name: value
            for name, value in metrics.items()
            if name != "eval_loss" and not name.endswith(clocks)
        }
        self.log(f"step {step}/{self.max_steps} eval_loss {metrics['eval_loss']:.4f}{_listed(more)}")

    def _eta_seconds(self, step: int) -> float | None:
        if self.max_steps is None or not self._recent_step_seconds:
            return None
        per_step = sum(self._recent_step_seconds) / len(self._recent_step_seconds)
        return (self.max_steps - step) * (per_step + self._other_seconds / self._steps)

    def _median_step_seconds(self) -> float:
        return sorted(self._recent_step_seconds)[len(self._recent_step_seconds) // 2]

    def _append(self, point: dict[str, Any]) -> None:
        self._metrics.append(point)

    def _write_progress(self, *, now: bool = False) -> None:
        clock = time.monotonic()
        if now or clock - self._written_at >= _SECONDS_BETWEEN_PROGRESS:
            self._attempt.write_progress(self._progress._replace(time=time.time()))
            self._written_at = clock


class SilentReporter(Reporter):
    """Keeps the clock of a rank that is not the first, and says nothing: the first speaks for all."""

    def log(self, line: str) -> None:
        """Write no line."""

    def _append(self, point: dict[str, Any]) -> None:
        """Record no point."""

    def _write_progress(self, *, now: bool = False) -> None:
        """Write no progress."""


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _listed(numbers: Mapping[str, Any]) -> str:
    return "".join(
        f" {name} {value:.4g}" for name, value in numbers.items() if isinstance(value, int | float)
    )


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
