"""The NVIDIA GPUs of this host, read once; ``gpu_watch`` is what monitors use."""

from fttui_engine.hardware.gpu import Gpu, GpuInstance, GpuProcess, GpuReport
from fttui_engine.hardware.nvml import ask, open_nvml

__all__ = ["Gpu", "GpuInstance", "GpuProcess", "GpuReport", "read_driver_cuda", "read_gpus"]

OPEN_SECONDS = 40.0
"""Where the driver is not kept loaded, opening it takes 5 to 30 s."""
FIRST_GPU_SECONDS = 15.0
OTHER_GPU_SECONDS = 4.0


def read_gpus() -> GpuReport:
    """Read every GPU once; a GPU that hangs delays this by some seconds, and its ``trouble`` says so."""
    from fttui_engine.hardware.gpu_watch import GpuWatch

    watch = GpuWatch(period_seconds=None)
    report = watch.wait(OPEN_SECONDS, FIRST_GPU_SECONDS, OTHER_GPU_SECONDS)
    watch.close()
    return report


def read_driver_cuda() -> tuple[int, int] | None:
    """The newest CUDA version that the loaded driver knows, such as (12, 8); None where it cannot be told."""
    nvml, problem = open_nvml()
    if problem is not None:
        return None
    version = ask({}, "cuda", nvml.nvmlSystemGetCudaDriverVersion_v2)
    # The driver writes 12.8 as 12080.
    return None if version is None else (version // 1000, version % 1000 // 10)
