"""``fttui gpus``: the GPUs of this machine, and which run computes on them; once, or each second."""

import json
import sys
import time
from argparse import Namespace
from typing import Any

from fttui import figures
from fttui.gpu_users import GpuUser, GpuUsers
from fttui_engine.errors import ExitCode
from fttui_engine.hardware.gpu import Gpu, GpuInstance, GpuProcess, GpuReport
from fttui_engine.hardware.gpu_detail import GpuDetail
from fttui_engine.hardware.gpu_watch import GpuWatch
from fttui_engine.hardware.gpus import FIRST_GPU_SECONDS, OPEN_SECONDS, OTHER_GPU_SECONDS
from fttui_engine.hardware.host import Host, read_host
from fttui_engine.hardware.xid import Xid
from fttui_engine.runs.home import state_home
from fttui_engine.runs.logs import one_line

Users = dict[int, GpuUser]
WATCH_SECONDS = 1.0


def run(args: Namespace) -> int:
    """Print every GPU, or why there is none; no GPU is an answer and no failure."""
    watch, users = GpuWatch(), GpuUsers()
    try:
        report = watch.wait(OPEN_SECONDS, FIRST_GPU_SECONDS, OTHER_GPU_SECONDS)
        _print(report, users.look(report.gpus), args)
        while args.watch:
            time.sleep(WATCH_SECONDS)
            report = watch.look() or report
            _print(report, users.look(report.gpus), args)
    finally:
        watch.close()
    return ExitCode.DONE


def _print(report: GpuReport, users: Users, args: Namespace) -> None:
    if args.json:
        # Watched, each line is one object; once, people may read it.
        print(json.dumps(_to_json(report, users, read_host()), indent=None if args.watch else 1), flush=True)
        return
    lines = text_lines(report, users)
    if args.watch:
        lines.insert(0, time.strftime("%H:%M:%S"))
        if sys.stdout.isatty():
            # Home, and clear from there: as `watch` does, without its flicker.
            sys.stdout.write("\x1b[H\x1b[J")
    print("\n".join(one_line(each) for each in lines), flush=True)


def text_lines(report: GpuReport, users: Users) -> list[str]:
    """The GPUs as text: a line for each, and below it what is worth knowing."""
    if not report.gpus:
        return [report.error or "No GPU was found.", _host_line(read_host())]
    lines: list[str] = []
    for gpu in report.gpus:
        lines += [_gpu_line(gpu, users), *(f"      {each}" for each in _remarks(gpu))]
        lines += [_instance_line(gpu.index, each, users) for each in gpu.instances]
    return [*lines, *([report.error] if report.error else [])]


def _gpu_line(gpu: Gpu, users: Users) -> str:
    memory = f"{figures.memory(gpu.memory_used_bytes)}/{figures.memory(gpu.memory_total_bytes)}"
    parts = [
        f"{gpu.index:>2}  {gpu.name:<28}",
        "  --%" if gpu.utilization_percent is None else f"{gpu.utilization_percent:4d}%",
        f"{memory:>13}",
        "  --W" if gpu.power_watts is None else f"{gpu.power_watts:4.0f}W",
        "  --C" if gpu.temperature_celsius is None else f"{gpu.temperature_celsius:4d}C",
    ]
    if gpu.trouble:
        age = "" if gpu.read_at is None else f"; values of {figures.age(time.time() - gpu.read_at)} ago"
        return "  ".join([*parts, f"({gpu.trouble}{age})"])
    reasons = "; ".join(f"{field}: {reason}" for field, reason in gpu.errors.items())
    if gpu.instances:
        busy = sum(1 for each in gpu.instances if each.processes)
        return "  ".join([*parts, f"MIG: {busy} of {len(gpu.instances)} in use"])
    return "  ".join(
        [*parts, f"({reasons})" if reasons and not gpu.processes else _users_text(gpu.processes, users)]
    )


def _remarks(gpu: Gpu) -> list[str]:
    remarks = []
    if gpu.detail and not gpu.trouble:
        slow = gpu.detail.slow
        remarks += [f"slowed down by {', '.join(gpu.detail.slowed_by)}"] if gpu.detail.slowed_by else []
        if gpu.detail.is_in_narrow_slot:
            remarks.append(f"PCIe x{slow.pcie_width} of x{slow.pcie_width_max}")
        remarks += [gpu.detail.memory_trouble] if gpu.detail.memory_trouble else []
    for xid in gpu.xids[-3:]:
        remarks.append(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(xid.at))}  {xid.text}")
    return remarks


def _instance_line(index: int, instance: GpuInstance, users: Users) -> str:
    memory = f"{figures.memory(instance.memory_used_bytes)}/{figures.memory(instance.memory_total_bytes)}"
    number = "?" if instance.gpu_instance is None else instance.gpu_instance
    return (
        f"    {index}.{number}  {instance.profile:<31}{memory:>13}  {_users_text(instance.processes, users)}"
    )


def _users_text(processes: tuple[GpuProcess, ...], users: Users) -> str:
    return ", ".join(_user(each, users) for each in processes) or "free"


def _user(process: GpuProcess, users: Users) -> str:
    user = users.get(process.pid, GpuUser())
    if user.owner.run is None:
        account = f" of {user.account}" if user.account else ""
        return f"other: process {process.pid}{account}"
    rank = f" rank {user.owner.rank}" if user.owner.rank else ""
    return f"{user.owner.run}{rank}" + ("" if user.owner.step is None else f" at step {user.owner.step}")


def _host_line(host: Host) -> str:
    memory = f"{figures.memory(host.memory_used_bytes)} of {figures.memory(host.memory_total_bytes)} memory"
    free = figures.memory(host.disk_free_bytes(state_home()))
    return f"{host.hostname}: {host.cpu_count} CPUs at {host.cpu_percent:.0f}%, {memory} in use, {free} disk free"


def _to_json(report: GpuReport, users: Users, host: Host) -> dict[str, Any]:
    return {
        "time": time.time(),
        "gpus": [_gpu_to_json(gpu, users) for gpu in report.gpus],
        "error": report.error,
        "host": {**host._asdict(), "disk_free_bytes": host.disk_free_bytes(state_home())},
    }


def _gpu_to_json(gpu: Gpu, users: Users) -> dict[str, Any]:
    """A GPU; what could not be read is null, with the reason under ``errors``."""
    capability = gpu.compute_capability
    return {
        **gpu._asdict(),
        "compute_capability": None if capability is None else f"{capability[0]}.{capability[1]}",
        "processes": [_process_to_json(each, users) for each in gpu.processes],
        "detail": _detail_to_json(gpu.detail),
        "instances": [
            {**each._asdict(), "processes": [_process_to_json(one, users) for one in each.processes]}
            for each in gpu.instances
        ],
        "xids": [_xid_to_json(each) for each in gpu.xids],
    }


def _process_to_json(process: GpuProcess, users: Users) -> dict[str, Any]:
    user = users.get(process.pid, GpuUser())
    return {**process._asdict(), **user.owner._asdict(), "account": user.account, "command": user.command}


def _detail_to_json(detail: GpuDetail | None) -> dict[str, Any] | None:
    if detail is None:
        return None
    fields = {**detail._asdict(), **detail.slow._asdict()}
    del fields["slow"], fields["event_bits"], fields["power_limit_watts"]
    return {**fields, "slowed_by": list(detail.slowed_by), "memory_trouble": detail.memory_trouble}


def _xid_to_json(xid: Xid) -> dict[str, Any]:
    return {**xid._asdict(), "text": xid.text, "is_serious": xid.is_serious}
