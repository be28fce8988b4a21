"""The machine: a line per GPU or, where there is none, the host and the reason in plain words."""

from collections.abc import Sequence

from fttui import figures
from fttui.lines import Line, Role, Span, fit, fit_line, line, rule, wrap
from fttui.snapshot import Hardware
from fttui.widgets.snapshot_panel import SnapshotPanel
from fttui_engine.hardware.gpus import Gpu
from fttui_engine.hardware.host import Host
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.summary import RunSummary

STALE_SECONDS = 5.0
HOT_CELSIUS = 85
WIDE_CELL, MIDDLE_CELL = 70, 36
MAX_COLUMNS = 4


class GpuPanel(SnapshotPanel):
    """Shows the hardware of a snapshot."""

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading and hardware."""
        if self._snapshot is None:
            return [rule("GPUs", width)]
        snapshot = self._snapshot
        return hardware_lines(snapshot.hardware, snapshot.runs, snapshot.taken_at, width, height)


def wanted_height(hardware: Hardware, width: int) -> int:
    """Return how many lines the hardware takes: one per GPU, or the host's and the reason why there are none."""
    if hardware.gpus and hardware.gpus.gpus:
        return 1 + len(hardware.gpus.gpus)
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
    old = now - hardware.read_at
    heading = rule(
        "GPUs", width, f"the driver has not answered for {figures.age(old)}" if old > STALE_SECONDS else ""
    )
    rows = max(1, height - 1)
    columns = min(MAX_COLUMNS, -(-len(report.gpus) // rows))
    cell = (width - (columns - 1)) // columns
    cells = [gpu_cell(gpu, user_of(gpu, runs), cell) for gpu in report.gpus]
    lines = [
        tuple(span for each in cells[row::rows][:columns] for span in (*each, Span(" ")))
        for row in range(min(rows, len(cells)))
    ]
    return [heading, *lines]


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


def gpu_cell(gpu: Gpu, user: str, width: int) -> Line:
    """Return one GPU in so many cells; the narrower, the fewer facts, but always load and memory."""
    load = gpu.utilization_percent
    wide, middle = width >= WIDE_CELL, width >= MIDDLE_CELL
    spans = [Span(f" {gpu.index:<2} ", "strong")]
    if wide:
        spans.append(Span(fit(one_line(gpu.name).removeprefix("NVIDIA "), min(22, width - 58)) + " "))
    if middle:
        blocks = 12 if wide else 6
        spans.append(Span(figures.bar((load or 0) / 100, blocks), "good"))
    spans.append(Span(" --%" if load is None else f"{load:3.0f}%"))
    spans.append(Span(f" {_memory(gpu, full=middle)}"))
    if wide:
        spans.append(Span(fit(f" {_watts(gpu)}", 6)))
    if middle:
        hot = gpu.temperature_celsius is not None and gpu.temperature_celsius >= HOT_CELSIUS
        spans.append(Span(f" {_celsius(gpu)} ", "warn" if hot else "plain"))
        trouble = (
            next(iter(gpu.errors.values()), "") if load is None and gpu.memory_used_bytes is None else ""
        )
        spans.append(Span(f" {one_line(trouble)}", "bad") if trouble else Span(f" {user}", _user_role(user)))
    return fit_line(tuple(spans), width)


def _user_role(user: str) -> Role:
    return "dim" if user == "free" else "accent"


def _memory(gpu: Gpu, *, full: bool) -> str:
    if gpu.memory_used_bytes is None or gpu.memory_total_bytes is None:
        return fit("-", 11 if full else 5)
    used = figures.memory(gpu.memory_used_bytes)
    return f"{used:>6}/{figures.memory(gpu.memory_total_bytes).replace('.0G', 'G')}" if full else f"{used:>5}"


def _watts(gpu: Gpu) -> str:
    return "-" if gpu.power_watts is None else f"{gpu.power_watts:.0f}W"


def _celsius(gpu: Gpu) -> str:
    return "-" if gpu.temperature_celsius is None else f"{gpu.temperature_celsius:.0f}C"


def user_of(gpu: Gpu, runs: Sequence[RunSummary]) -> str:
    """Say who uses a GPU: one of our runs by its process, or a stranger by number."""
    pids = [process.pid for process in gpu.processes]
    if not pids:
        return "free"
    by_pid = {run.pid: run.id for run in runs if run.pid}
    ours = next((by_pid[pid] for pid in pids if pid in by_pid), None)
    placed = next((run.id for run in runs if run.state.is_live and run.gpus and gpu.index in run.gpus), None)
    if found := ours or placed:
        return found
    return f"process {pids[0]}" if len(pids) == 1 else f"{len(pids)} processes"
