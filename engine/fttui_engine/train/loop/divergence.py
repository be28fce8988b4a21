"""Whether training still learns: a loss that is no number, or that exploded, and weights that are no numbers.

Invariant: no checkpoint is made of weights that are no numbers, nor of a loss that is under suspicion, so that the newest
sealed one is always a good one, and none that is good is pruned for one that is not.
"""

import math
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from fttui_engine.runs.files import number
from fttui_engine.runs.metrics import read_metrics
from fttui_engine.runs.run import Run
from fttui_engine.train.errors import DivergedError

# So many logged losses tell what is usual; of fewer than the second number nothing is usual yet.
_USUAL = 100
_LEAST = 10
# A loss of 0.5 may jump to 2.5 in a hard batch, and one of 2 to 6; what has unlearned everything is at ln(vocabulary), 10 to 12.
_FACTOR = 3.0
_MARGIN = 2.0
# So long in a row: a single hard batch, or two, are no explosion.
_POINTS = 5
_STEPS = 20
# The scaler of fp16 begins at 2**16 and halves at each overflow: infinite norms are how it finds its scale.
_FP16_POINTS = 20


class DivergenceWatch:
    """Judges each logged point; all ranks see the same numbers and so come to the same."""

    def __init__(self, *, is_fp16: bool, can_explode: bool) -> None:
        self._losses: deque[float] = deque(maxlen=_USUAL)
        self._is_fp16 = is_fp16
        self._can_explode = can_explode
        self._high: list[tuple[int, float]] = []
        self._norms_not_finite = 0

    def recall(self, losses: Iterable[float]) -> None:
        """Take up what was logged before a resume."""
        for loss in losses:
            if math.isfinite(loss) and not self._is_high(loss):
                self._losses.append(loss)

    def verdict(self, step: int, loss: float, norm: float | None) -> str:
        """Return what is wrong with a logged point, ``""`` where nothing is."""
        if not math.isfinite(loss):
            return f"the loss became {loss} at step {step}"
        finite = norm is None or math.isfinite(norm)
        self._norms_not_finite = 0 if finite else self._norms_not_finite + 1
        if self._norms_not_finite >= (_FP16_POINTS if self._is_fp16 else 1):
            return f"the gradients became {norm} at step {step}"
        if not self._is_high(loss):
            self._losses.append(loss)
            self._high = []
            return ""
        self._high.append((step, loss))
        first = self._high[0][0]
        if len(self._high) < _POINTS or step - first < _STEPS:
            return ""
        return (
            f"the loss exploded: {loss:.3g} at step {step}, and as high since step {first}, where {self._usual_loss():.3g} "
            "was usual"
        )

    def suspects(self, loss: float) -> bool:
        """Whether a loss, or the last logged one, is too high to make a checkpoint of."""
        return bool(self._high) or self._is_high(loss)

    def _is_high(self, loss: float) -> bool:
        if not self._can_explode or len(self._losses) < _LEAST:
            return False
        usual = self._usual_loss()
        return loss > max(_FACTOR * usual, usual + _MARGIN)

    def _usual_loss(self) -> float:
        # The lower quartile: an explosion in the first steps, or one that rises slowly, soon makes up half of them.
        return sorted(self._losses)[len(self._losses) // 4]


def losses_before(step: int, run_path: Path) -> list[float]:
    """Return what was logged last up to a step, in this attempt's past."""
    points = [point for point in read_metrics(Run(run_path).metrics_path) if point.get("step", step) <= step]
    losses = [number(point.get("loss")) for point in points[-2 * _USUAL :]]
    return [loss for loss in losses if loss is not None][-_USUAL:]


def has_finite_weights(model: Any) -> bool:
    """Whether all trained weights that this process holds are numbers; reads each once, and waits for the GPU once."""
    ends = []
    for weight in model.parameters():
        if not weight.requires_grad:
            continue
        # What a sharded weight is here: FSDP2's part of it, DeepSpeed's.
        held = weight.to_local() if hasattr(weight, "to_local") else getattr(weight, "ds_tensor", weight)
        if held.numel():
            # Both are NaN where any element is; unlike a sum, neither can overflow.
            ends += [end.float() for end in held.detach().aminmax()]
    return not ends or bool(torch.stack(ends).isfinite().all())


def diverged(what: str, arguments: Any) -> DivergedError:
    """Return the error that ends a training, with the settings to change."""
    steps = [f"lower learning_rate from {arguments.learning_rate:g}"]
    if not arguments.warmup_steps:
        steps.append("warm up with warmup_ratio: 0.03")
    if not arguments.max_grad_norm:
        steps.append("clip gradients with max_grad_norm: 1.0")
    if arguments.fp16:
        steps.append("use bf16 in place of fp16")
    return DivergedError(what, f"{', '.join(steps)}; then resume from a checkpoint before that step")
