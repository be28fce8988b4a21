"""What one machine lacks, judged by what it said of itself."""

from collections.abc import Iterator
from fnmatch import fnmatch

from fttui_engine.doctor.finding import Finding
from fttui_engine.nodes.facts import Facts

GB = 1e9
LEAST_DISK_BYTES = 10 * GB
LEAST_FREE_FILES = 1000
LEAST_OPEN_FILES = 4096
LEAST_SHARED_MEMORY_BYTES = 1 * GB
# Less is the frame buffer of a desktop.
MOST_FOREIGN_MEMORY = 0.1
CLOCK_SECONDS = 1.0
MOST_LEFT_NAMED = 3
# Bridges of containers and virtual machines: what leaves by them never reaches another machine.
INNER = ("docker*", "br-*", "virbr*", "veth*", "cni*", "flannel*", "lxc*", "lxdbr*", "podman*")
TUNNELS = ("tun*", "tap*", "wg*", "tailscale*", "zt*", "ppp*")


def judge_alone(facts: Facts, needed_disk_bytes: int, needed_gpu_bytes: int | None) -> Iterator[Finding]:
    """Every finding about a machine by itself."""
    yield _clock(facts)
    yield _own_name(facts)
    yield from _gpus(facts, needed_gpu_bytes)
    yield _disk(facts, needed_disk_bytes)
    yield _limits(facts)
    yield _environment(facts)
    yield _left_over(facts)
    if facts.said["late"]:
        late = ", ".join(facts.said["late"])
        text = f"no answer in time about: {late}"
        yield Finding(
            "machine", "warning", text, "a disk, a name server or the GPU driver hangs there: look at dmesg"
        )


def is_inner(interface: str) -> bool:
    """Whether an interface leads to containers of the machine itself only."""
    return any(fnmatch(interface, pattern) for pattern in INNER)


def is_tunnel(interface: str) -> bool:
    """Whether an interface is that of a VPN."""
    return any(fnmatch(interface, pattern) for pattern in TUNNELS)


def _clock(facts: Facts) -> Finding:
    offset = facts.clock_offset_seconds
    # Half the round trip is how wrong the measurement can be.
    if abs(offset) - facts.round_trip_seconds / 2 < CLOCK_SECONDS:
        return Finding("clock", "ok", f"{offset * 1000:+.0f} ms")
    way = "ahead of" if offset > 0 else "behind"
    text = f"its clock is {abs(offset):.0f} s {way} this machine's: logs and events of several machines get out of order"
    return Finding(
        "clock", "warning", text, "let chrony or systemd-timesyncd set it: timedatectl set-ntp true"
    )


def _own_name(facts: Facts) -> Finding:
    name = facts.said["hostname"]
    own = (facts.said["names"] or {}).get("own_addresses") or []
    if own and not all(address.startswith("127.") or address == "::1" for address in own):
        return Finding("name", "ok", f"{name} is {own[0]}")
    means = f"means {own[0]}" if own else "means nothing"
    text = f"its own name {name} {means} to itself; gloo and NCCL must be told the interface"
    return Finding("name", "note", text, "fttui does that; for other programs correct /etc/hosts there")


def _gpus(facts: Facts, needed_bytes: int | None) -> Iterator[Finding]:
    said = facts.said["gpus"] or {"trouble": "the driver does not answer", "gpus": []}
    there = {gpu["index"] for gpu in said.get("gpus", [])}
    missing = sorted(set(facts.machine.gpus or ()) - there)
    if missing:
        named = ", ".join(map(str, missing))
        text = f"the inventory names GPU {named}, but there is no such GPU"
        yield Finding("GPUs", "problem", text, "correct gpus: in the inventory, or look at the driver there")
    if not facts.gpus and not missing:
        yield Finding("GPUs", "note", f"none: {said['trouble'] or 'the inventory allows none'}")
    broken = [gpu for gpu in facts.gpus if gpu["trouble"]]
    for gpu in broken:
        text = f"GPU {gpu['index']} does not answer: {gpu['trouble']}"
        yield Finding(
            "GPUs", "problem", text, "take it out of gpus: in the inventory, or restart that machine"
        )
    for gpu in (each for each in facts.gpus if not each["trouble"]):
        used, total = gpu["memory_bytes"] - gpu["free_bytes"], gpu["memory_bytes"]
        if needed_bytes is not None and gpu["free_bytes"] < needed_bytes:
            text = (
                f"GPU {gpu['index']} has {size(gpu['free_bytes'])} free; {size(needed_bytes)} are predicted"
            )
            yield Finding(
                "GPUs", "problem", text, "end what is on it, or make the batch or cutoff_len smaller"
            )
        elif used > MOST_FOREIGN_MEMORY * total:
            text = f"GPU {gpu['index']}: {size(used)} of {size(total)} are in use by other programs"
            yield Finding("GPUs", "warning", text, "nvidia-smi there says whose they are")
    if facts.gpus and not broken and not missing:
        names = [gpu["name"] for gpu in facts.gpus]
        text = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
        yield Finding("GPUs", "ok", text)


def _disk(facts: Facts, needed_bytes: int) -> Finding:
    disk = facts.said["disk"] or {"trouble": "it does not answer"}
    if "trouble" in disk:
        return Finding(
            "disk", "problem", f"its disk cannot be looked at: {disk['trouble']}", "df there says more"
        )
    path, free = disk["path"], disk["free_bytes"]
    if not disk["is_writable"]:
        return Finding("disk", "problem", f"{path} cannot be written to", "correct scratch: in the inventory")
    if free < needed_bytes:
        text = f"{path} has {size(free)} free; {size(needed_bytes)} are needed for checkpoints and results"
        return Finding(
            "disk", "problem", text, "make room there, or save fewer checkpoints: save_total_limit"
        )
    if disk["free_files"] is not None and disk["free_files"] < LEAST_FREE_FILES:
        text = f"the file system of {path} has room for {disk['free_files']} more files only"
        return Finding("disk", "problem", text, "remove files there: df -i")
    if free < LEAST_DISK_BYTES:
        return Finding(
            "disk", "warning", f"{path} has {size(free)} free", "make room there before checkpoints come"
        )
    return Finding("disk", "ok", f"{size(free)} free in {path}")


def _limits(facts: Facts) -> Finding:
    open_files, shared = facts.said["limits"]["open_files"], facts.said["shared_memory_bytes"]
    if facts.said["kills_after_logout"]:
        text = "systemd-logind there kills what is left behind when the last session ends (KillUserProcesses)"
        return Finding("limits", "problem", text, "on that machine: loginctl enable-linger")
    if 0 <= open_files < LEAST_OPEN_FILES:
        text = f"{open_files} open files are allowed; data loaders and gloo need thousands"
        return Finding("limits", "warning", text, "raise nofile in /etc/security/limits.conf there")
    if shared is not None and shared < LEAST_SHARED_MEMORY_BYTES:
        text = f"/dev/shm has {size(shared)}; NCCL and data loaders put theirs there"  # noqa: S108 - a word
        return Finding("limits", "warning", text, "give the container more: --shm-size=8g, or --ipc=host")
    return Finding("limits", "ok", "")


def _environment(facts: Facts) -> Finding:
    found = facts.said["environment"]
    harmful = {key: value for key, value in found.items() if not key.startswith("NCCL_")}
    if harmful:
        text = "its login shell sets " + ", ".join(f"{key}={value}" for key, value in sorted(harmful.items()))
        return Finding("environment", "warning", text, "take that out of the shell's startup files there")
    if found:
        text = "its login shell sets " + ", ".join(f"{key}={value}" for key, value in sorted(found.items()))
        return Finding("environment", "note", text)
    return Finding("environment", "ok", "")


def _left_over(facts: Facts) -> Finding:
    runs = facts.said["runs"]
    if not isinstance(runs, list) or not runs:
        return Finding("runs", "ok", "none")
    names = sorted({each["run"] for each in runs})
    shown = ", ".join(names[:MOST_LEFT_NAMED]) + (" and others" if len(names) > MOST_LEFT_NAMED else "")
    return Finding("runs", "note", f"fttui runs are at work there: {shown}")


def size(size_bytes: float) -> str:
    """A size in words."""
    return f"{size_bytes / GB:.1f} GB" if size_bytes >= 0.1 * GB else f"{size_bytes / 1e6:.1f} MB"
