"""The NVIDIA GPUs of this host, read once; ``gpu_watch`` is what monitors use."""

from threading import Thread
from typing import TYPE_CHECKING

from fttui_engine.hardware.gpu import Gpu, GpuInstance, GpuProcess, GpuReport
from fttui_engine.hardware.nvml import ask, open_nvml

if TYPE_CHECKING:
    from fttui_engine.hardware.gpu_watch import GpuWatch

__all__ = ["Gpu", "GpuInstance", "GpuProcess", "GpuReport", "read_driver_cuda", "read_gpus"]

OPEN_SECONDS = 40.0
"""Where the driver is not kept loaded, opening it takes 5 to 30 s."""
FIRST_GPU_SECONDS = 15.0
OTHER_GPU_SECONDS = 4.0


CUDA_SECONDS = 5.0

_latest: "GpuWatch | None" = None


def read_gpus() -> GpuReport:
    """Read every GPU once; one that hangs delays the first call by some seconds, and its ``trouble`` says so."""
    global _latest  # noqa: PLW0603 - what hangs is remembered per process, as NVML itself is opened per process
    from fttui_engine.hardware.gpu_watch import GpuWatch

    if _latest is not None and not _latest.has_opened:
        # Asking a driver again that still owes an answer would only leave another thread behind.
        return _latest.wait(0, 0, 0)
    _latest = GpuWatch(period_seconds=None, before=_latest)
    return _latest.wait(OPEN_SECONDS, FIRST_GPU_SECONDS, OTHER_GPU_SECONDS)


def read_driver_cuda() -> tuple[int, int] | None:
    """The newest CUDA version that the loaded driver knows, such as (12, 8); None where it cannot be told."""
    answers: list[tuple[int, int] | None] = []
    # In a thread: a driver that hangs must not hang its caller.
    thread = Thread(target=lambda: answers.append(_driver_cuda()), daemon=True, name="fttui-cuda")
    thread.start()
    thread.join(CUDA_SECONDS)
    return answers[0] if answers else None


def _driver_cuda() -> tuple[int, int] | None:
    nvml, problem = open_nvml()
    if problem is not None:
        return None
    version = ask({}, "cuda", nvml.nvmlSystemGetCudaDriverVersion_v2)
    # The driver writes 12.8 as 12080.
    return None if version is None else (version // 1000, version % 1000 // 10)
