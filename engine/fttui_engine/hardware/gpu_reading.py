"""Reading one GPU once; blocks as long as the driver does, so only ``gpu_watch`` calls it, in a thread per GPU."""

import time
from typing import Any, NamedTuple

from fttui_engine.hardware.capability import Capability
from fttui_engine.hardware.gpu import Gpu, GpuInstance, GpuProcess
from fttui_engine.hardware.gpu_detail import SlowLane, read_detail
from fttui_engine.hardware.nvml import ask
from fttui_engine.hardware.xid import Slot, slot_of


class GpuFacts(NamedTuple):
    """What does not change while a GPU lives."""

    uuid: str | None
    name: str
    compute_capability: Capability | None


class GpuReader:
    """Reads one GPU again and again, and remembers what need not be asked twice."""

    def __init__(self, nvml: Any, index: int) -> None:
        self.index = index
        self.slot: Slot | None = None
        self._nvml = nvml
        self._facts: GpuFacts | None = None
        self._slow = SlowLane()
        self._profiles: dict[str | None, str] = {}

    def handle(self, errors: dict[str, str]) -> Any:
        """The driver's handle; asked for each time, because that is what brings back a GPU that was reset."""
        return ask(errors, "handle", self._nvml.nvmlDeviceGetHandleByIndex, self.index)

    def read(self) -> Gpu:
        """Ask for everything."""
        errors: dict[str, str] = {}
        handle = self.handle(errors)
        if handle is None:
            return self._lost(errors)
        nvml = self._nvml
        facts = self._read_facts(handle, errors)
        load = ask(errors, "utilization_percent", nvml.nvmlDeviceGetUtilizationRates, handle)
        memory = _read_memory(nvml, handle, errors)
        if load is None and memory is None:
            return self._lost(errors)
        slow = self._slow.facts(nvml, handle, errors)
        power_milliwatts = ask(errors, "power_watts", nvml.nvmlDeviceGetPowerUsage, handle)
        return Gpu(
            index=self.index,
            uuid=facts.uuid,
            name=facts.name,
            utilization_percent=None if load is None else load.gpu,
            memory_used_bytes=None if memory is None else memory.used,
            memory_total_bytes=None if memory is None else memory.total,
            power_watts=None if power_milliwatts is None else power_milliwatts / 1000,
            power_limit_watts=slow.power_limit_watts,
            temperature_celsius=ask(
                errors,
                "temperature_celsius",
                nvml.nvmlDeviceGetTemperature,
                handle,
                nvml.NVML_TEMPERATURE_GPU,
            ),
            compute_capability=facts.compute_capability,
            processes=read_processes(nvml, handle, errors),
            errors=errors,
            memory_free_bytes=None if memory is None else memory.free,
            # Version 1 of the call, of drivers before 510, counts it as used and does not tell it.
            memory_reserved_bytes=getattr(memory, "reserved", None),
            detail=read_detail(nvml, handle, slow),
            instances=self._read_instances(handle) if slow.mig_is_on else (),
            read_at=time.time(),
        )

    def _lost(self, errors: dict[str, str]) -> Gpu:
        """A GPU that fell off the bus still counts; its name is known if it was seen before."""
        self._slow.forget()
        facts = self._facts or GpuFacts(None, f"GPU {self.index}", None)
        nothing = (None,) * 6
        return Gpu(self.index, facts.uuid, facts.name, *nothing, facts.compute_capability, (), errors)

    def _read_facts(self, handle: Any, errors: dict[str, str]) -> GpuFacts:
        if self._facts is not None:
            return self._facts
        nvml, missing = self._nvml, dict[str, str]()
        facts = GpuFacts(
            uuid=ask(missing, "uuid", nvml.nvmlDeviceGetUUID, handle),
            name=ask(missing, "name", nvml.nvmlDeviceGetName, handle) or f"GPU {self.index}",
            compute_capability=ask(
                missing, "compute_capability", nvml.nvmlDeviceGetCudaComputeCapability, handle
            ),
        )
        if (place := ask({}, "slot", nvml.nvmlDeviceGetPciInfo, handle)) is not None:
            self.slot = slot_of(_text(place.busId))
        # What failed is asked again next time, so that its reason is named every time.
        if not missing:
            self._facts = facts
        errors.update(missing)
        return facts

    def _read_instances(self, handle: Any) -> tuple[GpuInstance, ...]:
        most = ask({}, "", self._nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
        handles = (
            ask({}, "", self._nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
            for number in range(most)
        )
        return tuple(self._read_instance(each) for each in handles if each is not None)

    def _read_instance(self, handle: Any) -> GpuInstance:
        nvml, errors = self._nvml, dict[str, str]()
        uuid = ask(errors, "uuid", nvml.nvmlDeviceGetUUID, handle)
        if uuid not in self._profiles:
            shape = ask(errors, "profile", nvml.nvmlDeviceGetAttributes, handle)
            self._profiles[uuid] = (
                f"{shape.gpuInstanceSliceCount}g.{shape.memorySizeMB / 1024:.0f}gb" if shape else "MIG"
            )
        memory = _read_memory(nvml, handle, errors)
        return GpuInstance(
            gpu_instance=ask(errors, "gpu_instance", nvml.nvmlDeviceGetGpuInstanceId, handle),
            compute_instance=ask(errors, "compute_instance", nvml.nvmlDeviceGetComputeInstanceId, handle),
            uuid=uuid,
            profile=self._profiles[uuid],
            memory_used_bytes=None if memory is None else memory.used,
            memory_total_bytes=None if memory is None else memory.total,
            processes=read_processes(nvml, handle, errors),
        )


def read_processes(nvml: Any, handle: Any, errors: dict[str, str]) -> tuple[GpuProcess, ...]:
    """The processes that compute on a GPU or an instance; the older form of the call where the driver has no other."""
    processes = ask(errors, "processes", nvml.nvmlDeviceGetComputeRunningProcesses, handle)
    if processes is None:
        older = ask({}, "processes", nvml.nvmlDeviceGetComputeRunningProcesses_v2, handle)
        if older is not None:
            del errors["processes"]
        processes = older
    return tuple(GpuProcess(process.pid, process.usedGpuMemory) for process in processes or ())


def _read_memory(nvml: Any, handle: Any, errors: dict[str, str]) -> Any:
    """Memory in bytes; version 2 of the call, because version 1 counts what the driver reserves as used."""
    memory = ask(errors, "memory", nvml.nvmlDeviceGetMemoryInfo, handle, nvml.nvmlMemory_v2)
    if memory is None and (older := ask({}, "memory", nvml.nvmlDeviceGetMemoryInfo, handle)) is not None:
        del errors["memory"]
        return older
    return memory


def _text(value: Any) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
