"""What else a GPU says of itself: clocks, what holds them down, its slot, memory errors. Not measured on a card here.

Read apart from ``read_gpus`` and only while somebody looks: each is a call of its own to the driver.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from fttui_engine.hardware.gpus import ask, open_nvml

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
CORRECTED, UNCORRECTED, SINCE_BOOT = 0, 1, 0
CLOCK_SM, CLOCK_MEMORY = 1, 2


class GpuDetail(NamedTuple):
    """The rest of one GPU at one moment; ``None`` is what it, or its driver, does not tell."""

    index: int  # type: ignore[assignment]
    sm_clock_mhz: int | None
    sm_clock_max_mhz: int | None
    memory_clock_mhz: int | None
    fan_percent: int | None
    pcie_generation: int | None
    pcie_generation_max: int | None
    pcie_width: int | None
    pcie_width_max: int | None
    ecc_corrected: int | None
    ecc_uncorrected: int | None
    mig_is_on: bool | None
    event_bits: int | None

    @property
    def slowed_by(self) -> tuple[str, ...]:
        """What keeps its clocks below what the load asks for."""
        return _words(self.event_bits, SLOWDOWNS)

    @property
    def clocked_by(self) -> tuple[str, ...]:
        """What else decides about its clocks, and is no trouble."""
        return _words(self.event_bits, NO_SLOWDOWNS)


def read_gpu_detail(index: int) -> GpuDetail | None:
    """Read one GPU; ``None`` where there is no driver, or this GPU is lost."""
    nvml, problem = open_nvml()
    handle = None if problem else ask({}, "handle", nvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        return None

    def get(call: Callable[..., Any], *arguments: Any) -> Any:
        return ask({}, "", call, handle, *arguments)

    mig = get(nvml.nvmlDeviceGetMigMode)
    return GpuDetail(
        index=index,
        sm_clock_mhz=get(nvml.nvmlDeviceGetClockInfo, CLOCK_SM),
        sm_clock_max_mhz=get(nvml.nvmlDeviceGetMaxClockInfo, CLOCK_SM),
        memory_clock_mhz=get(nvml.nvmlDeviceGetClockInfo, CLOCK_MEMORY),
        fan_percent=get(nvml.nvmlDeviceGetFanSpeed),
        pcie_generation=get(nvml.nvmlDeviceGetCurrPcieLinkGeneration),
        pcie_generation_max=get(nvml.nvmlDeviceGetMaxPcieLinkGeneration),
        pcie_width=get(nvml.nvmlDeviceGetCurrPcieLinkWidth),
        pcie_width_max=get(nvml.nvmlDeviceGetMaxPcieLinkWidth),
        ecc_corrected=get(nvml.nvmlDeviceGetTotalEccErrors, CORRECTED, SINCE_BOOT),
        ecc_uncorrected=get(nvml.nvmlDeviceGetTotalEccErrors, UNCORRECTED, SINCE_BOOT),
        mig_is_on=None if mig is None else bool(mig[0]),
        event_bits=get(nvml.nvmlDeviceGetCurrentClocksThrottleReasons),
    )


def _words(bits: int | None, words: dict[int, str]) -> tuple[str, ...]:
    return tuple(text for bit, text in words.items() if bits and bits & bit)
