"""What this account and container may use: open files, locked memory, shared memory, CPUs, memory."""

import os
import resource
from pathlib import Path

import psutil

from fttui_engine.doctor.finding import Finding

GIB = 1 << 30
FEW_FILES = 4096
"""Each worker of a data loader and each rank holds some hundred; 1024 has been seen to run out with 8 GPUs."""
LITTLE_SHARED_BYTES = 1 * GIB
LITTLE_MEMORY_BYTES = 8 * GIB
CGROUPS = Path("/sys/fs/cgroup")
INFINIBAND = Path("/sys/class/infiniband")


def look_at_limits() -> list[Finding]:
    """Limits of the account (ulimit), and threads per process."""
    return [*_open_files(), *_locked_memory(), *_address_space(), *_threads()]


def look_at_shared_memory() -> list[Finding]:
    """The shared memory through which data loaders and NCCL pass what they have."""
    try:
        space = os.statvfs("/dev/shm")  # noqa: S108 - not a file of ours
    except OSError:
        fix = "mount it; data loaders with workers and NCCL need it"
        return [Finding("shared memory", "warning", "there is no /dev/shm", fix)]
    total, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
    text = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free in /dev/shm"
    if free < LITTLE_SHARED_BYTES:
        fix = "start the container with --shm-size=8g or --ipc=host; else dataloader_num_workers: 0"
        return [
            Finding("shared memory", "warning", f"only {text}: data loaders and NCCL die without it", fix)
        ]
    return [Finding("shared memory", "ok", text)]


def look_at_host() -> list[Finding]:
    """CPUs and memory, and what a container or Slurm leaves of them."""
    cpus, usable = os.cpu_count() or 1, len(os.sched_getaffinity(0))
    quota, limit = cpu_quota(), memory_limit()
    total = psutil.virtual_memory().total
    text = f"{usable} of {cpus} CPUs, {total / GIB:.0f} GiB of memory"
    findings = [Finding("host", "ok", text)]
    if quota is not None and quota < usable:
        fix = f"ask for more (docker --cpus, Slurm --cpus-per-task), or preprocessing_num_workers: {max(1, int(quota))}"
        text = f"this container may use {quota:.1f} CPUs at a time, though programs see {usable}"
        findings.append(Finding("host", "note", text, fix))
    if limit is not None and limit < total:
        fix = "a run that takes more is killed; ask for more (docker --memory, Slurm --mem)"
        text = f"this container or session may use {limit / GIB:.1f} GiB of memory"
        findings.append(Finding("host", "warning" if limit < LITTLE_MEMORY_BYTES else "note", text, fix))
    elif total < LITTLE_MEMORY_BYTES:
        fix = "models are loaded through it: take small ones, or quantized ones"
        findings.append(Finding("host", "warning", f"only {total / GIB:.1f} GiB of memory", fix))
    return findings


def _open_files() -> list[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= FEW_FILES:
        return [Finding("open files", "ok", f"{_shown(soft)} at a time")]
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    fix = f"ulimit -n {wanted}" if wanted > soft else "have nofile raised in /etc/security/limits.conf"
    return [
        Finding("open files", "warning", f"only {soft} at a time: data loaders of several ranks run out", fix)
    ]


def _locked_memory() -> list[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == resource.RLIM_INFINITY or not INFINIBAND.exists():
        return []
    text = f"only {soft / (1 << 20):.0f} MiB may be locked in memory; NCCL over InfiniBand fails with that"
    return [
        Finding(
            "locked memory", "warning", text, "have memlock set to unlimited (docker --ulimit memlock=-1)"
        )
    ]


def _address_space() -> list[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return []
    text = f"a process may map {soft / GIB:.0f} GiB only (ulimit -v); CUDA maps far more than it uses"
    return [Finding("address space", "warning", text, "ulimit -v unlimited")]


def _threads() -> list[Finding]:
    text, usable = os.environ.get("OMP_NUM_THREADS"), len(os.sched_getaffinity(0))
    if text is None:
        return [Finding("threads", "ok", "OMP_NUM_THREADS is not set; each run chooses by its CPUs")]
    if text.isascii() and text.isdigit() and 0 < int(text) <= usable:
        return [Finding("threads", "ok", f"OMP_NUM_THREADS is {text}")]
    text = (
        f"OMP_NUM_THREADS is {text!r}, and there are {usable} CPUs: threads would stand in each other's way"
    )
    return [Finding("threads", "warning", text, f"unset OMP_NUM_THREADS, or set it to at most {usable}")]


def _shown(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else str(limit)


def memory_limit() -> int | None:
    """The least that this cgroup or one above it may use, in bytes; None where there is no limit."""
    found = [
        _number(folder / name) for folder in _cgroups() for name in ("memory.max", "memory.limit_in_bytes")
    ]
    # Version 1 writes a huge number for none.
    limits = [each for each in found if each is not None and each < 1 << 60]
    return min(limits, default=None)


def cpu_quota() -> float | None:
    """The CPUs that this cgroup or one above it may use at a time; None where there is no limit."""
    quotas = []
    for folder in _cgroups():
        words = _text(folder / "cpu.max").split()
        if len(words) == 2 and words[0].isdigit() and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota is not None and quota > 0 and period:
            quotas.append(quota / period)
    return min(quotas, default=None)


def _cgroups() -> list[Path]:
    """The folders of this process's cgroup and of those above it, in both versions."""
    folders = []
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        for root in {CGROUPS / controllers, CGROUPS} if controllers else {CGROUPS}:
            own = root / path.lstrip("/")
            folders += [own, *(each for each in own.parents if each.is_relative_to(root))]
    return folders


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
