"""The GPUs in full: curves of a quarter of an hour, clocks and what holds them down, errors, and whose every process is.

It draws what the collector has read; nothing here asks the driver.
"""

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from fttui import figures
from fttui.gpu_history import STEP_SECONDS, STEPS, GpuTrail, Values, spark
from fttui.gpu_users import GpuUser
from fttui.keys import bindings
from fttui.lines import Line, Role, Span, fit, fit_right, line, rule, width_of, wrap
from fttui.screens.run_screen import CockpitScreen
from fttui.snapshot import Hardware, Snapshot
from fttui.widgets.gpu_panel import HOT_CELSIUS, STALE_SECONDS
from fttui.widgets.key_line import KeyLine
from fttui.widgets.scroll_list import ScrollList
from fttui_engine.hardware.gpu import Gpu, GpuInstance, GpuProcess
from fttui_engine.hardware.gpu_detail import GpuDetail
from fttui_engine.runs.logs import one_line

HOTTEST_CELSIUS = 100.0
CURVE_LABEL = 9
LATEST_XIDS = 5
CURVES = f"curves: the last {STEPS * STEP_SECONDS // 60} min"


class GpuPage(CockpitScreen):
    """Shows every GPU; one that hangs says so and holds up nothing."""

    SCOPE = "gpus"
    STAYS_WITHOUT_RUN = True
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("gpus")]

    def __init__(self) -> None:
        super().__init__()
        self._list = ScrollList(id="page-list")
        self._keys = KeyLine("gpus")

    def compose(self) -> ComposeResult:
        """Lay out list and keys."""
        yield self._list
        yield self._keys

    def show(self, snapshot: Snapshot) -> None:
        """Show the GPUs of a snapshot."""
        hardware = snapshot.hardware
        gpus = hardware.gpus.gpus if hardware.gpus else ()
        old = snapshot.taken_at - hardware.read_at
        is_old = hardware.host is not None and old > STALE_SECONDS
        problem = (hardware.gpus and hardware.gpus.error) or "asking the GPU driver ..."
        self._list.show(
            "GPUs",
            lambda width: [one for gpu in gpus for one in gpu_lines(gpu, hardware, width, snapshot.taken_at)],
            remark=f"nothing was read for {figures.age(old)}" if is_old else CURVES,
            empty=one_line(problem),
        )
        self._keys.show(())

    def action_scroll(self, rows: int) -> None:
        """Scroll by lines."""
        self._list.move(rows)

    def action_scroll_page(self, pages: int) -> None:
        """Scroll by pages."""
        self._list.move_pages(pages)


def gpu_lines(gpu: Gpu, hardware: Hardware, width: int, now: float) -> list[Line]:
    """Return a GPU with all that it tells; what it does not tell is left out, and why is said."""
    age = "" if gpu.read_at is None or not gpu.trouble else f"read {figures.age(now - gpu.read_at)} ago"
    lines = [rule(f"{gpu.index} {one_line(gpu.name)}", width, age)]
    lines += _said(one_line(gpu.trouble), width, "bad") if gpu.trouble else []
    lines += _facts(_load(gpu), width)
    if gpu.detail and not gpu.trouble:
        lines += [*_facts(_clocks(gpu.detail), width), *_facts(_slot(gpu.detail), width)]
    lines += curve_lines(hardware.trails.get(gpu.index), width)
    lines += _warnings(gpu, width)
    for reason, fields in _reasons(gpu).items():
        lines += _said(f"not told: {', '.join(fields)} ({reason})", width, "dim")
    for instance in gpu.instances:
        lines += _instance_lines(instance, hardware, width)
    in_instances = {each.pid for instance in gpu.instances for each in instance.processes}
    lines += [user_line(each, hardware, width) for each in gpu.processes if each.pid not in in_instances]
    if not gpu.processes and not gpu.instances and not gpu.trouble:
        lines.append(line(Span(" free", "dim")))
    return [*lines, line("")]


def curve_lines(trail: GpuTrail | None, width: int) -> list[Line]:
    """Return the last quarter of an hour of load, memory, heat and power; two beside each other where there is room."""
    if trail is None:
        return []
    curves: list[tuple[str, Values, float]] = [
        ("load", trail.load, 100.0),
        ("memory", trail.memory, 100.0),
        ("heat", trail.temperature, HOTTEST_CELSIUS),
        ("power", trail.power, 100.0),
    ]
    drawn = [
        line(
            Span(fit(f" {name}", CURVE_LABEL), "dim"),
            Span(spark(values, STEPS, most=most), "good"),
            "  ",
        )
        for name, values, most in curves
        if any(value is not None for value in values)
    ]
    columns = max(1, min(2, width // (CURVE_LABEL + STEPS + 2)))
    return [
        tuple(span for each in drawn[at : at + columns] for span in each)
        for at in range(0, len(drawn), columns)
    ]


def _warnings(gpu: Gpu, width: int) -> list[Line]:
    lines: list[Line] = []
    # What held down a GPU that does not answer now is no news.
    if gpu.detail and not gpu.trouble:
        if slowed := gpu.detail.slowed_by:
            lines += _said(f"slowed down by {', '.join(slowed)}", width, "warn")
        if gpu.detail.is_in_narrow_slot:
            slow = gpu.detail.slow
            text = f"x{slow.pcie_width} of x{slow.pcie_width_max} PCIe lanes: loading and several GPUs take longer"
            lines += _said(f"{text}; a riser, or a slot that is shared?", width, "warn")
        if trouble := gpu.detail.memory_trouble:
            lines += _said(trouble, width, "bad")
    for xid in gpu.xids[-LATEST_XIDS:]:
        at = time.strftime("%d %b %H:%M:%S", time.localtime(xid.at))
        lines += _said(f"{at}  {xid.text}", width, "bad" if xid.is_serious else "warn")
    return lines


def _said(text: str, width: int, role: Role) -> list[Line]:
    return [line(" ", *one) for one in wrap(text, width - 2, role)]


def _reasons(gpu: Gpu) -> dict[str, list[str]]:
    """Return why values are missing, each reason once."""
    reasons: dict[str, list[str]] = {}
    for field, reason in () if gpu.trouble else gpu.errors.items():
        name = (
            field.removesuffix("_percent").removesuffix("_watts").removesuffix("_celsius").replace("_", " ")
        )
        reasons.setdefault(one_line(reason), []).append(name)
    return reasons


Fact = tuple[str, str, Role]
"""A label, what it says (nothing is left out), and how that looks."""


def _facts(facts: list[Fact], width: int) -> list[Line]:
    """Return facts in as many lines as they need."""
    lines: list[list[Span]] = [[]]
    for label, text, role in facts:
        spans = [Span(f" {label} " if label else " ", "dim"), Span(f"{text} ", role)]
        if text and lines[-1] and width_of(lines[-1]) + width_of(spans) > width:
            lines.append([])
        lines[-1] += spans if text else []
    return [tuple(one) for one in lines if one]


def _load(gpu: Gpu) -> list[Fact]:
    role: Role = "dim" if gpu.trouble else "plain"
    memory = ""
    if gpu.memory_used_bytes is not None:
        memory = f"{figures.memory(gpu.memory_used_bytes)} of {figures.memory(gpu.memory_total_bytes)}"
        reserved = gpu.memory_reserved_bytes
        memory += f", {figures.memory(reserved)} reserved" if reserved else ""
    limit = "" if gpu.power_limit_watts is None else f" of {gpu.power_limit_watts:.0f}"
    celsius = gpu.temperature_celsius
    is_hot = celsius is not None and celsius >= HOT_CELSIUS and not gpu.trouble
    return [
        (
            "load",
            "" if gpu.utilization_percent is None else f"{gpu.utilization_percent}%",
            "dim" if gpu.trouble else "good",
        ),
        ("memory", memory, role),
        ("power", "" if gpu.power_watts is None else f"{gpu.power_watts:.0f}{limit} W", role),
        ("heat", "" if celsius is None else f"{celsius} C", "warn" if is_hot else role),
    ]


def _clocks(detail: GpuDetail) -> list[Fact]:
    slow = detail.slow
    return [
        ("SM clock", _of(detail.sm_clock_mhz, slow.sm_clock_max_mhz, " MHz"), "plain"),
        ("memory clock", _of(detail.memory_clock_mhz, slow.memory_clock_max_mhz, " MHz"), "plain"),
        ("fan", "" if detail.fan_percent is None else f"{detail.fan_percent}%", "plain"),
        ("", ", ".join(detail.clocked_by), "dim"),
    ]


def _slot(detail: GpuDetail) -> list[Fact]:
    slow = detail.slow
    since_boot = _errors(slow.ecc_corrected, slow.ecc_uncorrected)
    ever = _errors(slow.ecc_corrected_ever, slow.ecc_uncorrected_ever)
    return [
        ("PCIe generation", _of(slow.pcie_generation, slow.pcie_generation_max), "plain"),
        ("lanes", _of(slow.pcie_width, slow.pcie_width_max), "warn" if detail.is_in_narrow_slot else "plain"),
        ("memory errors", since_boot, "bad" if slow.ecc_uncorrected else "plain"),
        ("ever", ever, "plain"),
        ("rows replaced", str(slow.rows_remapped) if slow.rows_remapped else "", "plain"),
        ("MIG", "on" if slow.mig_is_on else "", "note"),
    ]


def _errors(corrected: int | None, uncorrected: int | None) -> str:
    if corrected is None and uncorrected is None:
        return ""
    return f"{corrected or 0} corrected, {uncorrected or 0} not"


def _of(value: int | None, most: int | None, unit: str = "") -> str:
    return "" if value is None else f"{value}{unit}" if most in (None, value) else f"{value} of {most}{unit}"


def _instance_lines(instance: GpuInstance, hardware: Hardware, width: int) -> list[Line]:
    memory = f"{figures.memory(instance.memory_used_bytes)} of {figures.memory(instance.memory_total_bytes)}"
    head = [
        Span(f" instance {instance.gpu_instance if instance.gpu_instance is not None else '?'} ", "strong"),
        Span(f"{instance.profile}  memory {memory}  "),
        Span(one_line(instance.uuid or ""), "dim"),
    ]
    users = [user_line(each, hardware, width) for each in instance.processes]
    return [line(*head), *(users or [line(Span("   free", "dim"))])]


def user_line(process: GpuProcess, hardware: Hardware, width: int) -> Line:
    """Return a process: ours by run, rank and step, a stranger's by its command."""
    user = hardware.users.get(process.pid, GpuUser())
    head = (
        f" {process.pid:>8}  {fit(user.account, 10)} {fit_right(figures.memory(process.memory_bytes), 7)}  "
    )
    owner = user.owner
    if owner.run is None:
        command = f"other: {user.command}" if user.command else "other: not visible from here"
        return line(Span(head), Span(fit(command, max(8, width - len(head))), "dim"))
    rank = "" if owner.rank is None else f"  rank {owner.rank}"
    step = "" if owner.step is None else f"  step {owner.step}"
    room = width - len(head) - len(f"{owner.run}{rank}{step}") - 2
    command = fit(user.command, room) if room >= 12 else ""
    return line(Span(head), Span(f"{owner.run}{rank}{step}", "accent"), Span(f"  {command}", "dim"))
