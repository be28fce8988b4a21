"""What each GPU did in the last quarter of an hour, in 60 steps of 15 s: enough for a curve, cheap to keep and send.

The steps begin at whole multiples of 15 s and not at the newest value, so that a curve moves on once in 15 s instead
of with every reading: a second then changes one cell of it, and not all 60.
"""

from collections import deque
from typing import NamedTuple

from fttui_engine.hardware.gpu import Gpu

STEP_SECONDS = 15
STEPS = 60
SPARKS = "▁▂▃▄▅▆▇█"

Values = tuple[float | None, ...]


class GpuTrail(NamedTuple):
    """The curves of one GPU, the latest value last; None where nothing was known."""

    load: Values = ()
    memory: Values = ()
    temperature: Values = ()
    power: Values = ()


class _Step:
    """The mean of what was read in one step of time."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._sums, self._counts = [0.0] * 4, [0] * 4

    def add(self, values: Values) -> None:
        for at, value in enumerate(values):
            if value is not None:
                self._sums[at] += value
                self._counts[at] += 1

    def means(self) -> Values:
        return tuple(
            total / count if count else None for total, count in zip(self._sums, self._counts, strict=True)
        )


class GpuHistory:
    """Takes in readings and hands out curves."""

    def __init__(self) -> None:
        self._steps: dict[int, deque[_Step]] = {}

    def add(self, gpus: tuple[Gpu, ...], now: float) -> None:
        """Take in a reading; a GPU in trouble leaves a gap."""
        number = int(now // STEP_SECONDS)
        for gpu in gpus:
            steps = self._steps.setdefault(gpu.index, deque(maxlen=STEPS))
            if not steps or steps[-1].number != number:
                steps.append(_Step(number))
            if not gpu.trouble:
                steps[-1].add(_values(gpu))

    def trails(self) -> dict[int, GpuTrail]:
        """The curves of all GPUs, by index."""
        return {index: _trail(steps) for index, steps in self._steps.items()}


def _values(gpu: Gpu) -> Values:
    """Load, memory and power in percent of what there is, and degrees."""
    memory = power = None
    if gpu.memory_used_bytes is not None and gpu.memory_total_bytes:
        memory = 100 * gpu.memory_used_bytes / gpu.memory_total_bytes
    if gpu.power_watts is not None and gpu.power_limit_watts:
        power = 100 * gpu.power_watts / gpu.power_limit_watts
    return gpu.utilization_percent, memory, gpu.temperature_celsius, power


def _trail(steps: deque[_Step]) -> GpuTrail:
    by_number = {step.number: step.means() for step in steps}
    last = steps[-1].number
    nothing: Values = (None,) * 4
    rows = [by_number.get(number, nothing) for number in range(last - STEPS + 1, last + 1)]
    return GpuTrail(*zip(*rows, strict=True))


def spark(values: Values, width: int, *, most: float = 100.0) -> str:
    """Draw the last values as a curve one line high; blanks are what is not known."""
    shown = values[-width:] if width > 0 else ()
    marks = (
        " " if value is None else SPARKS[min(len(SPARKS) - 1, max(0, int(value / most * len(SPARKS))))]
        for value in shown
    )
    return "".join(marks).rjust(max(0, width))
