"""What else a GPU says of itself: clocks, what holds them down, its slot, memory errors. Not measured on a card here.

Each field is a call of its own to the driver. What moves is asked for each time, what hardly changes every
``SLOW_SECONDS``, so that a GPU costs 11 calls a second.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from fttui_engine.hardware.nvml import ask

SLOW_SECONDS = 10.0
# NVML's bits of "clocks event reasons" (nvml.h), in the words of what to do about them.
SLOWDOWNS = {
    0x4: "its power limit",
    0x8: "the hardware: heat or power supply",
    0x10: "the slowest GPU of its sync boost group",
    0x20: "heat (the driver's limit)",
    0x40: "heat (the card's own limit: cooling does not keep up)",
    0x80: "the power supply of the machine (power brake)",
}
NO_SLOWDOWNS = {0x1: "idle", 0x2: "clocks set by the administrator", 0x100: "display clocks"}
CORRECTED, UNCORRECTED = 0, 1
SINCE_BOOT, EVER = 0, 1
CLOCK_SM, CLOCK_MEMORY = 1, 2


class SlowFacts(NamedTuple):
    """What hardly ever changes; ``None`` is what the GPU, or its driver, does not tell."""

    power_limit_watts: float | None
    sm_clock_max_mhz: int | None
    memory_clock_max_mhz: int | None
    pcie_generation: int | None
    pcie_generation_max: int | None
    pcie_width: int | None
    pcie_width_max: int | None
    ecc_corrected: int | None
    ecc_uncorrected: int | None
    ecc_corrected_ever: int | None
    ecc_uncorrected_ever: int | None
    # Memory rows that were replaced by spare ones; pending means that only a reset of the GPU will do it.
    rows_remapped: int | None
    rows_pending: bool | None
    rows_failed: bool | None
    mig_is_on: bool | None


class GpuDetail(NamedTuple):
    """The rest of one GPU at one moment; ``None`` is what it, or its driver, does not tell."""

    sm_clock_mhz: int | None
    memory_clock_mhz: int | None
    fan_percent: int | None
    event_bits: int | None
    slow: SlowFacts

    @property
    def slowed_by(self) -> tuple[str, ...]:
        """What keeps its clocks below what the load asks for."""
        return _words(self.event_bits, SLOWDOWNS)

    @property
    def clocked_by(self) -> tuple[str, ...]:
        """What else decides about its clocks, and is no trouble."""
        return _words(self.event_bits, NO_SLOWDOWNS)

    @property
    def is_in_narrow_slot(self) -> bool:
        """Whether it has fewer PCIe lanes than it could use; the generation falls when a card idles, lanes do not."""
        width, most = self.slow.pcie_width, self.slow.pcie_width_max
        return width is not None and most is not None and width < most

    @property
    def memory_trouble(self) -> str:
        """What is wrong with its memory, and what to do; empty where nothing is known to be."""
        if self.slow.rows_failed:
            return "memory rows could not be replaced by spare ones: have the card exchanged"
        if self.slow.rows_pending:
            return "a bad memory row waits to be replaced: reset the GPU (nvidia-smi -r) when it is idle"
        if self.slow.ecc_uncorrected:
            return "memory errors since boot could not be corrected: reset the GPU (nvidia-smi -r) when it is idle"
        return ""


def read_slow_facts(nvml: Any, handle: Any, errors: dict[str, str]) -> SlowFacts:
    """Ask for what hardly changes; that a limit of power is missing is worth a word, the rest goes without saying."""
    get = _getter(handle)
    limit_milliwatts = ask(errors, "power_limit_watts", nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    rows = get(nvml.nvmlDeviceGetRemappedRows)
    mig = get(nvml.nvmlDeviceGetMigMode)
    return SlowFacts(
        power_limit_watts=None if limit_milliwatts is None else limit_milliwatts / 1000,
        sm_clock_max_mhz=get(nvml.nvmlDeviceGetMaxClockInfo, CLOCK_SM),
        memory_clock_max_mhz=get(nvml.nvmlDeviceGetMaxClockInfo, CLOCK_MEMORY),
        pcie_generation=get(nvml.nvmlDeviceGetCurrPcieLinkGeneration),
        pcie_generation_max=get(nvml.nvmlDeviceGetMaxPcieLinkGeneration),
        pcie_width=get(nvml.nvmlDeviceGetCurrPcieLinkWidth),
        pcie_width_max=get(nvml.nvmlDeviceGetMaxPcieLinkWidth),
        ecc_corrected=get(nvml.nvmlDeviceGetTotalEccErrors, CORRECTED, SINCE_BOOT),
        ecc_uncorrected=get(nvml.nvmlDeviceGetTotalEccErrors, UNCORRECTED, SINCE_BOOT),
        ecc_corrected_ever=get(nvml.nvmlDeviceGetTotalEccErrors, CORRECTED, EVER),
        ecc_uncorrected_ever=get(nvml.nvmlDeviceGetTotalEccErrors, UNCORRECTED, EVER),
        rows_remapped=None if rows is None else rows[0] + rows[1],
        rows_pending=None if rows is None else bool(rows[2]),
        rows_failed=None if rows is None else bool(rows[3]),
        mig_is_on=None if mig is None else bool(mig[0]),
    )


def read_detail(nvml: Any, handle: Any, slow: SlowFacts) -> GpuDetail:
    """Ask for what moves."""
    get = _getter(handle)
    return GpuDetail(
        sm_clock_mhz=get(nvml.nvmlDeviceGetClockInfo, CLOCK_SM),
        memory_clock_mhz=get(nvml.nvmlDeviceGetClockInfo, CLOCK_MEMORY),
        fan_percent=get(nvml.nvmlDeviceGetFanSpeed),
        event_bits=get(nvml.nvmlDeviceGetCurrentClocksThrottleReasons),
        slow=slow,
    )


class SlowLane:
    """Keeps the slow facts of one GPU, and asks again when they are old."""

    def __init__(self) -> None:
        self._facts: SlowFacts | None = None
        self._errors: dict[str, str] = {}
        self._read_at = 0.0

    def facts(self, nvml: Any, handle: Any, errors: dict[str, str]) -> SlowFacts:
        """The facts, at most ``SLOW_SECONDS`` old."""
        if self._facts is None or time.monotonic() - self._read_at > SLOW_SECONDS:
            self._errors = {}
            self._facts = read_slow_facts(nvml, handle, self._errors)
            self._read_at = time.monotonic()
        errors.update(self._errors)
        return self._facts

    def forget(self) -> None:
        """Ask again at once: the GPU was away."""
        self._facts = None


def _getter(handle: Any) -> Callable[..., Any]:
    def get(call: Callable[..., Any], *arguments: Any) -> Any:
        return ask({}, "", call, handle, *arguments)

    return get


def _words(bits: int | None, words: dict[int, str]) -> tuple[str, ...]:
    return tuple(text for bit, text in words.items() if bits and bits & bit)
