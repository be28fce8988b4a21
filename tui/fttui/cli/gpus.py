"""``fttui gpus``: the GPUs of this machine, and which run computes on them."""

import json
from argparse import Namespace
from typing import Any

from fttui import figures
from fttui.gpu_users import owner_of
from fttui_engine.errors import ExitCode
from fttui_engine.hardware.gpus import Gpu, GpuProcess, GpuReport, read_gpus
from fttui_engine.hardware.host import Host, read_host
from fttui_engine.runs.home import state_home
from fttui_engine.runs.logs import one_line


def run(args: Namespace) -> int:
    """Print every GPU once, or why there is none; no GPU is an answer and no failure."""
    report = read_gpus()
    if args.json:
        print(json.dumps(_to_json(report, read_host()), indent=1))
    elif report.gpus:
        for gpu in report.gpus:
            print(one_line(_gpu_line(gpu)))
    else:
        print(one_line(report.error or "No GPU was found."))
        print(_host_line(read_host()))
    return ExitCode.DONE


def _to_json(report: GpuReport, host: Host) -> dict[str, Any]:
    return {
        "gpus": [_gpu_to_json(gpu) for gpu in report.gpus],
        "error": report.error,
        "host": {**host._asdict(), "disk_free_bytes": host.disk_free_bytes(state_home())},
    }


def _gpu_to_json(gpu: Gpu) -> dict[str, Any]:
    """A GPU; what could not be read is null, with the reason under ``errors``."""
    capability = gpu.compute_capability
    return {
        **gpu._asdict(),
        "compute_capability": None if capability is None else f"{capability[0]}.{capability[1]}",
        "processes": [_process_to_json(process) for process in gpu.processes],
    }


def _process_to_json(process: GpuProcess) -> dict[str, Any]:
    return {**process._asdict(), **owner_of(process.pid)._asdict()}


def _gpu_line(gpu: Gpu) -> str:
    memory = f"{figures.memory(gpu.memory_used_bytes)}/{figures.memory(gpu.memory_total_bytes)}"
    parts = [
        f"{gpu.index:>2}  {gpu.name:<28}",
        "  --%" if gpu.utilization_percent is None else f"{gpu.utilization_percent:4d}%",
        f"{memory:>13}",
        "  --W" if gpu.power_watts is None else f"{gpu.power_watts:4.0f}W",
        "  --C" if gpu.temperature_celsius is None else f"{gpu.temperature_celsius:4d}C",
    ]
    users = ", ".join(_user(process) for process in gpu.processes) or "free"
    reasons = "; ".join(f"{field}: {reason}" for field, reason in gpu.errors.items())
    return "  ".join([*parts, f"({reasons})" if reasons else users])


def _user(process: GpuProcess) -> str:
    owner = owner_of(process.pid)
    if owner.run is None:
        return f"process {process.pid}"
    return owner.run if owner.step is None else f"{owner.run} at step {owner.step}"


def _host_line(host: Host) -> str:
    memory = f"{figures.memory(host.memory_used_bytes)} of {figures.memory(host.memory_total_bytes)} memory"
    free = figures.memory(host.disk_free_bytes(state_home()))
    return f"{host.hostname}: {host.cpu_count} CPUs at {host.cpu_percent:.0f}%, {memory} in use, {free} disk free"
