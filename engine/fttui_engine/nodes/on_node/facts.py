"""What this machine is: everything that several machines must agree on, or that one of them may lack."""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fttui_engine.nodes.on_node.network import interfaces
from fttui_engine.nodes.on_node.nvml import look_at_gpus

if TYPE_CHECKING:
    from collections.abc import Callable

# A driver that wakes its cards up takes seconds; one that hangs must not hold up what else there is to say.
DEADLINE_SECONDS = 8.0
# What a training of several machines sets itself; left behind in a login shell it makes every machine rank 0.
TELLTALES = (
    "RANK",
    "LOCAL_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "CUDA_VISIBLE_DEVICES",
)


def facts(python: str, packages_program: str, scratch: str) -> dict[str, Any]:
    """Return all of it; what takes too long is ``None`` and named in ``late``."""
    parts = {
        "gpus": look_at_gpus,
        "packages": lambda: _versions(python, packages_program),
        "names": _names,
        "disk": lambda: _disk(scratch),
        "runs": _runs,
    }
    found, late = _at_once(parts)
    return {
        **found,
        "late": late,
        "hostname": socket.gethostname(),
        "kernel": platform.release(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory": _memory(),
        "interfaces": interfaces(),
        "reached_at": _reached_at(),
        "limits": {
            "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "locked_bytes": resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
        },
        "kills_after_logout": _kills_after_logout(),
        "shared_memory_bytes": _shared_memory(),
        "environment": {
            key: value[:80]
            for key, value in os.environ.items()
            if key in TELLTALES or key.startswith("NCCL_")
        },
    }


def _at_once(parts: dict[str, Callable[[], Any]]) -> tuple[dict[str, Any], list[str]]:
    found: dict[str, Any] = dict.fromkeys(parts)
    late = set(parts)

    def look(name: str) -> None:
        try:
            found[name] = parts[name]()
        except Exception as error:  # noqa: BLE001 - one part that breaks must not hide the others
            found[name] = {"trouble": type(error).__name__ + ": " + str(error)}
        late.discard(name)

    threads = [threading.Thread(target=look, args=(name,), daemon=True) for name in parts]
    until = time.monotonic() + DEADLINE_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return found, sorted(late)


def _versions(python: str, program: str) -> dict[str, Any]:
    """Asked of the Python that trains, started as a training is: without -I, with its own search path."""
    try:
        done = subprocess.run(
            [python or sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE_SECONDS - 1,
            check=False,
            cwd="/",
        )
    except OSError as error:
        return {"trouble": python + ": " + str(error.strerror)}
    for line in done.stdout.decode(errors="replace").splitlines():
        if line.startswith("fttui-versions "):
            return dict(json.loads(line[len("fttui-versions ") :]))
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return {"trouble": python + ": " + (said[-1] if said else "it printed nothing")}


def _names() -> dict[str, Any]:
    """What the machine takes its own name for; gloo listens at that address unless it is told an interface."""
    began = time.monotonic()
    try:
        answers = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
        own = sorted({str(each[4][0]) for each in answers})
    except OSError:
        own = []
    return {"own_addresses": own, "seconds": time.monotonic() - began}


def _disk(scratch: str) -> dict[str, Any]:
    path = Path(scratch or os.path.expanduser("~"))
    exists = path.is_dir()
    # The folder may have to be made yet; its disk is that of whatever is there of its path.
    while not path.exists():
        path = path.parent
    usage, nodes = shutil.disk_usage(str(path)), os.statvfs(str(path))
    return {
        "path": scratch or str(path),
        "exists": exists,
        "is_writable": os.access(str(path), os.W_OK | os.X_OK),
        "free_bytes": usage.free,
        "free_files": nodes.f_favail if nodes.f_files else None,
    }


def _runs() -> list[dict[str, Any]]:
    """The processes of fttui's runs that this user has here."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            pairs = [item.partition(b"=") for item in (folder / "environ").read_bytes().split(b"\0")]
            marks = {key: value.decode(errors="replace") for key, _, value in pairs}
            if b"FTTUI_RUN" in marks:
                rank = marks.get(b"RANK")
                found.append({"pid": int(folder.name), "run": marks[b"FTTUI_RUN"], "rank": rank})
    return found


def _memory() -> dict[str, int]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    sizes = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
    return {"total_bytes": sizes.get("MemTotal", 0), "available_bytes": sizes.get("MemAvailable", 0)}


def _shared_memory() -> int | None:
    try:
        return shutil.disk_usage("/dev/shm").free  # noqa: S108 - looked at, not written to
    except OSError:
        return None


def _reached_at() -> str | None:
    """The address at which ssh reached this machine: behind a jump host, that of the inner network."""
    words = os.environ.get("SSH_CONNECTION", "").split()
    return words[2].partition("%")[0] if len(words) == 4 else None


def _kills_after_logout() -> bool:
    """Whether systemd-logind kills what is left when the last session ends, and does not make an exception."""
    text = ""
    for path in (
        Path("/etc/systemd/logind.conf"),
        *sorted(Path("/etc/systemd/logind.conf.d").glob("*.conf")),
    ):
        with suppress(OSError):
            text += path.read_text()
    kills = any(line.replace(" ", "").lower() == "killuserprocesses=yes" for line in text.splitlines())
    user = os.environ.get("USER", "")
    return kills and user != "root" and not (user and Path("/var/lib/systemd/linger", user).exists())
