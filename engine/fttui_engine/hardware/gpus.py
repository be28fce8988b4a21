"""The NVIDIA GPUs of this host, read through NVML.

NVML calls fail one by one: a lost GPU still counts, a data-centre card has no fan, a laptop card no power limit. So
every call goes through one gate, ``ask``, that turns an error into "no value" plus the driver's own words.
"""

import ctypes
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from fttui_engine.hardware.capability import Capability

LIBRARY = "libnvidia-ml.so.1"
NO_GPU = "No NVIDIA GPU on this machine"
# What the driver answers to nvmlInit, by NVML's error number.
INIT_PROBLEMS = {
    4: "The NVIDIA driver does not let this user see the GPUs; ask the administrator about /dev/nvidia*.",
    9: "The NVIDIA driver is installed but not loaded; `nvidia-smi` or the system log says why.",
    18: "The NVIDIA driver was upgraded while the old one is still loaded; reboot this machine.",
}


class GpuProcess(NamedTuple):
    """A process that computes on a GPU; the driver knows no containers, so the pid is the host's."""

    pid: int
    memory_bytes: int | None


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


class GpuReport(NamedTuple):
    """All GPUs, or one plain sentence why there are none."""

    gpus: tuple[Gpu, ...]
    error: str | None = None


class _Facts(NamedTuple):
    """What does not change while a GPU lives."""

    uuid: str | None
    name: str
    compute_capability: Capability | None
    power_limit_watts: float | None


# NVML is opened once per process and never closed: nvmlShutdown while another thread is inside a call crashes the
# process, and opening can take seconds where the driver is not kept loaded.
_lock = threading.Lock()
_nvml: Any = None
_facts: dict[int, _Facts] = {}


def read_gpus() -> GpuReport:
    """Read every GPU once; blocks as long as the driver does, so never call it from a user interface's own thread."""
    nvml, problem = open_nvml()
    if problem is not None:
        return GpuReport((), problem)
    errors: dict[str, str] = {}
    count = ask(errors, "count", nvml.nvmlDeviceGetCount)
    if count is None:
        return GpuReport((), f"The NVIDIA driver cannot list its GPUs: {errors['count']}.")
    if count == 0:
        return GpuReport((), f"{NO_GPU}: the driver is loaded, but it lists none.")
    return GpuReport(tuple(_read_gpu(nvml, index) for index in range(count)))


def read_driver_cuda() -> tuple[int, int] | None:
    """The newest CUDA version that the loaded driver knows, such as (12, 8); None where it cannot be told."""
    nvml, problem = open_nvml()
    if problem is not None:
        return None
    version = ask({}, "cuda", nvml.nvmlSystemGetCudaDriverVersion_v2)
    # The driver writes 12.8 as 12080.
    return None if version is None else (version // 1000, version % 1000 // 10)


def open_nvml() -> tuple[Any, str | None]:
    """The opened binding, or a sentence why there is none; a driver that comes up later is found at the next call."""
    global _nvml  # noqa: PLW0603 - one connection to the driver per process is NVML's own model
    with _lock:
        if _nvml is not None:
            return _nvml, None
        try:
            # Probed by hand first: importing pynvml takes 30 ms, and most laptops end here.
            ctypes.CDLL(LIBRARY)
        except OSError:
            return None, f"{NO_GPU}: the driver's library {LIBRARY} is not installed."
        import pynvml  # type: ignore[import-untyped]

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            return None, INIT_PROBLEMS.get(error.value, f"The NVIDIA driver does not answer: {error}.")
        except pynvml.NVMLLibraryMismatchError:
            return None, "The NVIDIA driver is too old to be read; 450 or newer is needed."
        _nvml = pynvml
        return _nvml, None


def ask(errors: dict[str, str], field: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """The answer of one NVML call; None when it fails, with the driver's words in ``errors``."""
    import pynvml

    try:
        return call(*arguments)
    except pynvml.NVMLError as error:
        errors[field] = str(error)
    except pynvml.NVMLLibraryMismatchError:
        # Not an NVMLError: the binding raises it when the driver lacks a newer form of a call.
        errors[field] = "the driver is too old for this"
    except UnicodeDecodeError:
        errors[field] = "the driver's answer is not a text"
    return None


def _read_gpu(nvml: Any, index: int) -> Gpu:
    errors: dict[str, str] = {}
    handle = ask(errors, "handle", nvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        # A GPU that fell off the bus still counts; its name is known if it was seen before.
        facts = _facts.get(index, _Facts(None, f"GPU {index}", None, None))
        return Gpu(
            index,
            facts.uuid,
            facts.name,
            None,
            None,
            None,
            None,
            None,
            None,
            facts.compute_capability,
            (),
            errors,
        )
    facts = _read_facts(nvml, index, handle, errors)
    load = ask(errors, "utilization_percent", nvml.nvmlDeviceGetUtilizationRates, handle)
    memory = _read_memory(nvml, handle, errors)
    power_milliwatts = ask(errors, "power_watts", nvml.nvmlDeviceGetPowerUsage, handle)
    return Gpu(
        index=index,
        uuid=facts.uuid,
        name=facts.name,
        utilization_percent=None if load is None else load.gpu,
        memory_used_bytes=None if memory is None else memory.used,
        memory_total_bytes=None if memory is None else memory.total,
        power_watts=None if power_milliwatts is None else power_milliwatts / 1000,
        power_limit_watts=facts.power_limit_watts,
        temperature_celsius=ask(
            errors, "temperature_celsius", nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU
        ),
        compute_capability=facts.compute_capability,
        processes=_read_processes(nvml, handle, errors),
        errors=errors,
        memory_free_bytes=None if memory is None else memory.free,
    )


def _read_facts(nvml: Any, index: int, handle: Any, errors: dict[str, str]) -> _Facts:
    if index in _facts:
        return _facts[index]
    limit_milliwatts = ask(errors, "power_limit_watts", nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    facts = _Facts(
        uuid=ask(errors, "uuid", nvml.nvmlDeviceGetUUID, handle),
        name=ask(errors, "name", nvml.nvmlDeviceGetName, handle) or f"GPU {index}",
        compute_capability=ask(errors, "compute_capability", nvml.nvmlDeviceGetCudaComputeCapability, handle),
        power_limit_watts=None if limit_milliwatts is None else limit_milliwatts / 1000,
    )
    # What failed is asked again next time, so that its reason is named every time.
    if not errors:
        _facts[index] = facts
    return facts


def _read_memory(nvml: Any, handle: Any, errors: dict[str, str]) -> Any:
    """Memory in bytes; version 2 of the call, because version 1 counts what the driver reserves as used."""
    memory = ask(errors, "memory", nvml.nvmlDeviceGetMemoryInfo, handle, nvml.nvmlMemory_v2)
    if memory is None and (older := ask({}, "memory", nvml.nvmlDeviceGetMemoryInfo, handle)) is not None:
        del errors["memory"]
        return older
    return memory


def _read_processes(nvml: Any, handle: Any, errors: dict[str, str]) -> tuple[GpuProcess, ...]:
    processes = ask(errors, "processes", nvml.nvmlDeviceGetComputeRunningProcesses, handle)
    return tuple(GpuProcess(process.pid, process.usedGpuMemory) for process in processes or ())
