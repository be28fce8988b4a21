"""The machine: a line per GPU or, where there is none, the host and the reason in plain words."""

from collections.abc import Sequence

from fttui import figures
from fttui.gpu_history import GpuTrail, spark
from fttui.lines import Line, Role, Span, fit, fit_line, line, rule, width_of, wrap
from fttui.snapshot import Hardware
from fttui.widgets.snapshot_panel import SnapshotPanel
from fttui_engine.hardware.gpu import Gpu, GpuInstance
from fttui_engine.hardware.host import Host
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.summary import RunSummary

STALE_SECONDS = 5.0
HOT_CELSIUS = 85
WIDE_CELL, MIDDLE_CELL = 70, 36
MAX_COLUMNS = 4
CURVE_CELL, CURVE_CELLS = 100, 12
"""From this width on a cell has a curve, of so many steps of the history: three minutes."""
STRANGER = "other:"
"""What stands before programs that are not runs of ours."""


class GpuPanel(SnapshotPanel):
    """Shows the hardware of a snapshot."""

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading and hardware."""
        if self._snapshot is None:
            return [rule("GPUs", width)]
        snapshot = self._snapshot
        return hardware_lines(snapshot.hardware, snapshot.runs, snapshot.taken_at, width, height)


def wanted_height(hardware: Hardware, width: int) -> int:
    """Return how many lines the hardware takes: one per GPU or instance, or the host's and why there are none."""
    if hardware.gpus and hardware.gpus.gpus:
        return 1 + sum(1 + len(gpu.instances) for gpu in hardware.gpus.gpus)
    return 2 + len(_reason_lines(hardware, width))


def hardware_lines(
    hardware: Hardware, runs: Sequence[RunSummary], now: float, width: int, height: int
) -> list[Line]:
    """Return the panel; as many GPUs share a line as are needed to show them all."""
    if hardware.host is None:
        return [rule("GPUs", width), line(Span(" reading the hardware ...", "dim"))]
    report = hardware.gpus
    if report is None or not report.gpus:
        host = host_line(hardware.host, hardware.disk_free_bytes)
        return [rule("Host", width), host, *_reason_lines(hardware, width)]
    rows = max(1, height - 1)
    # Instances have lines of their own where there is room, else their GPU counts them.
    has_room = -(-sum(1 + len(gpu.instances) for gpu in report.gpus) // rows) <= MAX_COLUMNS
    cell_count = sum(1 + len(gpu.instances) * has_room for gpu in report.gpus)
    columns = min(MAX_COLUMNS, -(-cell_count // rows))
    cell = (width - (columns - 1)) // columns
    cells: list[Line] = []
    for gpu in report.gpus:
        user = user_of(gpu, hardware, runs)
        cells.append(gpu_cell(gpu, user, cell, now, hardware.trails.get(gpu.index)))
        if has_room:
            cells += [instance_cell(gpu.index, each, hardware, cell) for each in gpu.instances]
    lines = [
        tuple(span for each in cells[row::rows][:columns] for span in (*each, Span(" ")))
        for row in range(min(rows, len(cells)))
    ]
    return [rule("GPUs", width, _remark(hardware, now)), *lines]


def _remark(hardware: Hardware, now: float) -> str:
    old = now - hardware.read_at
    if old > STALE_SECONDS:
        return f"nothing was read for {figures.age(old)}"
    return one_line(hardware.gpus.error or "") if hardware.gpus else ""


def _reason_lines(hardware: Hardware, width: int) -> list[Line]:
    if hardware.gpus is None:
        return [line(Span(" asking the GPU driver ...", "dim"))]
    reason = one_line(hardware.gpus.error or "No GPU was found on this machine.")
    return [line(" ", *one) for one in wrap(reason, width - 2, "dim")[:2]]


def host_line(host: Host, disk_free_bytes: int | None) -> Line:
    """Return the host's own load, for machines without GPUs."""
    used = host.memory_used_bytes / host.memory_total_bytes if host.memory_total_bytes else 0.0
    memory = f"{figures.memory(host.memory_used_bytes)} of {figures.memory(host.memory_total_bytes)}"
    return line(
        " CPU ",
        Span(figures.bar(host.cpu_percent / 100, 10), _load_role(host.cpu_percent)),
        f" {host.cpu_percent:3.0f}% of {host.cpu_count}  ",
        " mem ",
        Span(figures.bar(used, 10), _load_role(used * 100)),
        f" {memory} ",
        Span(f"  disk {figures.memory(disk_free_bytes)} free", "dim"),
    )


def _load_role(percent: float) -> Role:
    return "warn" if percent >= 95 else "good"


def gpu_cell(gpu: Gpu, user: str, width: int, now: float, trail: GpuTrail | None = None) -> Line:
    """Return one GPU in so many cells; the narrower, the fewer facts, but always load and memory."""
    if gpu.trouble or not gpu.answers:
        return _troubled_cell(gpu, width, now)
    load = gpu.utilization_percent
    wide, middle = width >= WIDE_CELL, width >= MIDDLE_CELL
    spans = [Span(f" {gpu.index:<2} ", "strong")]
    if wide:
        spans.append(Span(fit(one_line(gpu.name).removeprefix("NVIDIA "), min(22, width - 58)) + " "))
    if middle:
        blocks = 12 if wide else 6
        # No value is no idle GPU: MIG tells no load.
        spans.append(Span(" " * blocks if load is None else figures.bar(load / 100, blocks), "good"))
    if width >= CURVE_CELL:
        spans.append(Span(f" {spark(trail.load if trail else (), CURVE_CELLS)}", "good"))
    spans.append(Span(" --%" if load is None else f"{load:3.0f}%"))
    spans.append(Span(f" {_memory(gpu, full=middle)}"))
    if wide:
        spans.append(Span(fit(f" {_watts(gpu)}", 6)))
    if middle:
        hot = gpu.temperature_celsius is not None and gpu.temperature_celsius >= HOT_CELSIUS
        spans.append(Span(f" {_celsius(gpu)} ", "warn" if hot else "plain"))
    mark = _mark(gpu)
    spans += [Span(f" {mark if middle else mark[:4].strip()}", "warn")] if mark else []
    if middle:
        spans.append(Span(f" {_whole_words(user, width - width_of(spans) - 1)}", _user_role(user)))
    return fit_line(tuple(spans), width)


def _troubled_cell(gpu: Gpu, width: int, now: float) -> Line:
    """Return a GPU that does not answer: first the reason, then what it said last and how long ago, dimmed."""
    reason = one_line(gpu.trouble or next(iter(gpu.errors.values()), "no answer"))
    spans = [Span(f" {gpu.index:<2} ", "strong")]
    if width >= WIDE_CELL:
        spans.append(Span(fit(one_line(gpu.name).removeprefix("NVIDIA "), min(22, width - 58)) + " "))
    if width >= MIDDLE_CELL:
        spans.append(Span("--% ", "dim"))
    last = ""
    if gpu.answers and gpu.read_at is not None:
        load = "--" if gpu.utilization_percent is None else f"{gpu.utilization_percent}"
        last = (
            f" (last {load}% {figures.memory(gpu.memory_used_bytes)}, {figures.age(now - gpu.read_at)} ago)"
        )
    room = width - width_of(spans)
    # The age of the last values is worth more than what an Xid means, which the page says.
    xid = reason.partition(": ")[0] + ")"
    brief = reason.partition(" (")[0].replace(" for ", " ")
    shown = next(
        (text for text in (reason, xid if "Xid" in xid else reason, brief) if len(text + last) <= room), brief
    )
    spans += [Span(fit(shown, room).rstrip(), "bad"), Span(last if len(shown + last) <= room else "", "dim")]
    return fit_line(tuple(spans), width)


def _mark(gpu: Gpu) -> str:
    """Return the one word that says that something is wrong with a GPU that works; its page says more."""
    latest = next((each for each in reversed(gpu.xids) if each.is_serious), None)
    if latest:
        return f"Xid {latest.number}"
    if gpu.detail is None:
        return ""
    if gpu.detail.memory_trouble:
        return "ECC"
    heat = 0x8 | 0x20 | 0x40 | 0x80
    if gpu.detail.event_bits and gpu.detail.event_bits & heat:
        return "slowed"
    return f"x{gpu.detail.slow.pcie_width}" if gpu.detail.is_in_narrow_slot else ""


def instance_cell(index: int, instance: GpuInstance, hardware: Hardware, width: int) -> Line:
    """Return a MIG instance; NVML tells no load of it."""
    user = user_of_processes([each.pid for each in instance.processes], hardware)
    used = figures.memory(instance.memory_used_bytes)
    full = f"{used}/{figures.memory(instance.memory_total_bytes)}" if width >= MIDDLE_CELL else used
    spans = [
        Span(f"  {index}.{instance.gpu_instance if instance.gpu_instance is not None else '?'} ", "strong"),
        Span(f"{instance.profile} "),
        Span(f"{full} "),
        Span(user, _user_role(user)),
    ]
    return fit_line(tuple(spans), width)


def _whole_words(user: str, width: int) -> str:
    """As much of a user as there is room for: a number that is cut would be another one."""
    words = user.split(" ")
    while len(words) > 1 and (len(" ".join(words)) > width or words[-1] in ("rank", "step")):
        words.pop()
    return " ".join(words).rstrip(":")


def _user_role(user: str) -> Role:
    """Ours stand out; strangers and nobody do not."""
    return "dim" if user == "free" or user.startswith(STRANGER) else "accent"


def _memory(gpu: Gpu, *, full: bool) -> str:
    if gpu.memory_used_bytes is None or gpu.memory_total_bytes is None:
        return fit("-", 11 if full else 5)
    used = figures.memory(gpu.memory_used_bytes)
    return f"{used:>6}/{figures.memory(gpu.memory_total_bytes).replace('.0G', 'G')}" if full else f"{used:>5}"


def _watts(gpu: Gpu) -> str:
    return "-" if gpu.power_watts is None else f"{gpu.power_watts:.0f}W"


def _celsius(gpu: Gpu) -> str:
    return "-" if gpu.temperature_celsius is None else f"{gpu.temperature_celsius:.0f}C"


def user_of(gpu: Gpu, hardware: Hardware, runs: Sequence[RunSummary]) -> str:
    """Say who uses a GPU: our runs by their processes, or strangers by number."""
    if gpu.instances:
        busy = sum(1 for each in gpu.instances if each.processes)
        return f"MIG: {busy} of {len(gpu.instances)} in use"
    pids = [process.pid for process in gpu.processes]
    if not pids:
        return "free"
    users = user_of_processes(pids, hardware)
    if not users.startswith(STRANGER):
        return users
    by_pid = {run.pid: run.id for run in runs if run.pid}
    if ours := next((by_pid[pid] for pid in pids if pid in by_pid), None):
        return ours
    placed = next((run.id for run in runs if run.state.is_live and run.gpus and gpu.index in run.gpus), None)
    # In a container the driver's pids mean nothing; then the run that was given this GPU is the best guess.
    return users if placed is None or hardware.users_seen(pids) else placed


def user_of_processes(pids: Sequence[int], hardware: Hardware) -> str:
    """Say whose these processes are: run, rank and step of ours, else that they are others'."""
    if not pids:
        return "free"
    owners = [hardware.users[pid].owner for pid in pids if pid in hardware.users]
    ours = [owner for owner in owners if owner.run is not None]
    if not ours:
        if len(pids) > 1:
            return f"{STRANGER} {len(pids)} processes"
        user = hardware.users.get(pids[0])
        return f"{STRANGER} {pids[0]} {user.account if user else ''}".rstrip()
    first = ours[0]
    rank = "" if first.rank is None else f" rank {first.rank}"
    step = "" if first.step is None else f" step {first.step}"
    others = f" +{len(pids) - 1}" if len(pids) > 1 else ""
    return f"{first.run}{rank}{step}{others}"
