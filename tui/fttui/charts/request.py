"""What somebody wants to see of the metrics; imported at the start, unlike all that answers it."""

from dataclasses import dataclass
from typing import Literal

XAxis = Literal["step", "time", "tokens"]
X_AXES: tuple[XAxis, ...] = ("step", "time", "tokens")


@dataclass(frozen=True, slots=True)
class ChartRequest:
    """What a chart is to show; the first run is the one that the chart is about."""

    runs: tuple[str, ...] = ()
    metric: str = "loss"
    x_axis: XAxis = "step"
    smoothing: float = 0.9
    is_log: bool = False
    window: tuple[float, float] | None = None
    """The part of the x axis that is shown, ``None`` for all."""
    dots: int = 140
