"""What is known of a GPU: plain records, filled by ``gpu_reading`` and kept up to date by ``gpu_watch``."""

from typing import NamedTuple

from fttui_engine.hardware.capability import Capability
from fttui_engine.hardware.gpu_detail import GpuDetail
from fttui_engine.hardware.xid import Xid


class GpuProcess(NamedTuple):
    """A process that computes on a GPU; the driver knows no containers, so the pid is the host's."""

    pid: int
    memory_bytes: int | None


class GpuInstance(NamedTuple):
    """A part of a GPU that MIG has made a device of its own; it has no utilisation that NVML would tell."""

    gpu_instance: int | None
    compute_instance: int | None
    uuid: str | None
    profile: str
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    processes: tuple[GpuProcess, ...]


class Gpu(NamedTuple):
    """One GPU at one moment; a value that could not be read is None, and ``errors`` says why."""

    # Hides tuple.index(), which nobody calls on a GPU; a dataclass would cost `fttui check` 11 ms.
    index: int  # type: ignore[assignment]
    uuid: str | None
    name: str
    utilization_percent: int | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    power_watts: float | None
    power_limit_watts: float | None
    temperature_celsius: int | None
    compute_capability: Capability | None
    processes: tuple[GpuProcess, ...]
    errors: dict[str, str]
    # Less than total minus used: the driver keeps 70 to 600 MB for itself.
    memory_free_bytes: int | None = None
    memory_reserved_bytes: int | None = None
    detail: GpuDetail | None = None
    instances: tuple[GpuInstance, ...] = ()
    # The driver's reports of serious errors, the latest last.
    xids: tuple[Xid, ...] = ()
    # Why this GPU does not answer; its values are then those of ``read_at``, and no news.
    trouble: str = ""
    read_at: float | None = None

    @property
    def answers(self) -> bool:
        """Whether the latest reading told load or memory; a GPU that is lost tells neither."""
        return self.utilization_percent is not None or self.memory_used_bytes is not None


class GpuReport(NamedTuple):
    """All GPUs, or one plain sentence why there are none."""

    gpus: tuple[Gpu, ...]
    error: str | None = None
