"""The GPUs in full: clocks and what holds them down, memory, slot, errors, and whose every process is."""

import time
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message

from fttui import figures
from fttui.gpu_users import Owner, account_of, command_of, owner_of
from fttui.keys import bindings
from fttui.lines import Line, Role, Span, fit, fit_right, line, rule, width_of, wrap
from fttui.poller import Poller
from fttui.screens.run_screen import CockpitScreen
from fttui.snapshot import Snapshot
from fttui.widgets.gpu_panel import STALE_SECONDS
from fttui.widgets.key_line import KeyLine
from fttui.widgets.scroll_list import ScrollList
from fttui_engine.hardware.gpu_detail import GpuDetail, read_gpu_detail
from fttui_engine.hardware.gpus import Gpu, GpuReport, read_gpus
from fttui_engine.runs.logs import one_line

READ_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class GpuUser:
    """A process on a GPU."""

    pid: int
    memory_bytes: int | None
    owner: Owner
    account: str
    command: str


@dataclass(frozen=True, slots=True)
class GpuView:
    """All that is known of one GPU."""

    gpu: Gpu
    detail: GpuDetail | None
    users: tuple[GpuUser, ...]


class GpusRead(Message):
    """The thread that asks the driver has an answer."""

    def __init__(self, report: GpuReport, views: tuple[GpuView, ...]) -> None:
        super().__init__()
        self.report, self.views = report, views

    def can_replace(self, message: Message) -> bool:
        """Only the newest answer counts."""
        return isinstance(message, GpusRead)


class GpuPage(CockpitScreen):
    """Shows every GPU; a driver that hangs holds up its own thread and nothing else."""

    SCOPE = "gpus"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("gpus")]

    def __init__(self) -> None:
        super().__init__()
        self._list = ScrollList(id="page-list")
        self._keys = KeyLine("gpus")
        self._read_at = time.time()
        self._views: tuple[GpuView, ...] = ()
        self._problem = "asking the GPU driver ..."
        self._poller: Poller[tuple[GpuReport, tuple[GpuView, ...]]] | None = None

    def compose(self) -> ComposeResult:
        """Lay out list and keys."""
        yield self._list
        yield self._keys

    def on_mount(self) -> None:
        """Begin to ask."""
        self._poller = Poller(
            "gpus", self._look, lambda read: self.post_message(GpusRead(*read)), READ_SECONDS
        )

    def on_unmount(self) -> None:
        """End the asking."""
        if self._poller:
            self._poller.close()

    def _look(self) -> tuple[GpuReport, tuple[GpuView, ...]]:
        report = read_gpus()
        views = tuple(view_of(gpu) for gpu in report.gpus)
        self._read_at = time.time()
        return report, views

    def on_gpus_read(self, event: GpusRead) -> None:
        """Show what the driver said."""
        self._views = event.views
        self._problem = one_line(event.report.error or "No GPU was found on this machine.")
        self._draw()

    def show(self, snapshot: Snapshot) -> None:
        """Say how old the values are when no new ones come."""
        self._draw()
        self._keys.show(())

    def _draw(self) -> None:
        old = time.time() - self._read_at
        remark = f"the driver has not answered for {figures.age(old)}" if old > STALE_SECONDS else ""
        views = self._views
        self._list.show(
            "GPUs",
            lambda width: [one for view in views for one in gpu_lines(view, width)],
            remark=remark,
            empty=self._problem,
        )

    def action_scroll(self, rows: int) -> None:
        """Scroll by lines."""
        self._list.move(rows)

    def action_scroll_page(self, pages: int) -> None:
        """Scroll by pages."""
        self._list.move_pages(pages)


def view_of(gpu: Gpu) -> GpuView:
    """Ask for the rest of a GPU, and whose its processes are."""
    users = tuple(
        GpuUser(each.pid, each.memory_bytes, owner_of(each.pid), account_of(each.pid), command_of(each.pid))
        for each in gpu.processes
    )
    return GpuView(gpu, read_gpu_detail(gpu.index), users)


def gpu_lines(view: GpuView, width: int) -> list[Line]:
    """Return a GPU with all that it tells; what it does not tell is left out, and why is said."""
    gpu, detail = view.gpu, view.detail
    lines = [rule(f"{gpu.index} {one_line(gpu.name)}", width), *_facts(_load(gpu), width)]
    if detail:
        lines += [*_facts(_clocks(detail), width), *_facts(_slot(detail), width)]
        if detail.slowed_by:
            lines += [
                line(" ", *one)
                for one in wrap(f"slowed down by {', '.join(detail.slowed_by)}", width - 2, "warn")
            ]
    for reason, fields in _reasons(gpu).items():
        text = reason if fields == ["handle"] else f"not told: {', '.join(fields)} ({reason})"
        lines += [line(" ", *one) for one in wrap(text, width - 2, "dim")]
    lines += [user_line(user, width) for user in view.users] or [line(Span(" free", "dim"))]
    return [*lines, line("")]


def _reasons(gpu: Gpu) -> dict[str, list[str]]:
    """Return why values are missing, each reason once."""
    reasons: dict[str, list[str]] = {}
    for field, reason in gpu.errors.items():
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
    reserved = None
    if (
        gpu.memory_total_bytes is not None
        and gpu.memory_free_bytes is not None
        and gpu.memory_used_bytes is not None
    ):
        reserved = gpu.memory_total_bytes - gpu.memory_free_bytes - gpu.memory_used_bytes
    memory = ""
    if gpu.memory_used_bytes is not None:
        memory = f"{figures.memory(gpu.memory_used_bytes)} of {figures.memory(gpu.memory_total_bytes)}"
        memory += f", {figures.memory(reserved)} reserved" if reserved else ""
    limit = "" if gpu.power_limit_watts is None else f" of {gpu.power_limit_watts:.0f}"
    return [
        ("load", "" if gpu.utilization_percent is None else f"{gpu.utilization_percent}%", "good"),
        ("memory", memory, "plain"),
        ("power", "" if gpu.power_watts is None else f"{gpu.power_watts:.0f}{limit} W", "plain"),
        ("heat", "" if gpu.temperature_celsius is None else f"{gpu.temperature_celsius} C", "plain"),
    ]


def _clocks(detail: GpuDetail) -> list[Fact]:
    return [
        ("SM clock", _of(detail.sm_clock_mhz, detail.sm_clock_max_mhz, " MHz"), "plain"),
        (
            "memory clock",
            "" if detail.memory_clock_mhz is None else f"{detail.memory_clock_mhz} MHz",
            "plain",
        ),
        ("fan", "" if detail.fan_percent is None else f"{detail.fan_percent}%", "plain"),
        ("", ", ".join(detail.clocked_by), "dim"),
    ]


def _slot(detail: GpuDetail) -> list[Fact]:
    narrow = (
        None not in (detail.pcie_width, detail.pcie_width_max) and detail.pcie_width != detail.pcie_width_max
    )
    bad = bool(detail.ecc_uncorrected)
    ecc = ""
    if detail.ecc_corrected is not None or detail.ecc_uncorrected is not None:
        ecc = f"{detail.ecc_corrected or 0} corrected, {detail.ecc_uncorrected or 0} not"
    return [
        ("PCIe generation", _of(detail.pcie_generation, detail.pcie_generation_max), "plain"),
        ("lanes", _of(detail.pcie_width, detail.pcie_width_max), "warn" if narrow else "plain"),
        ("memory errors", ecc, "bad" if bad else "plain"),
        ("MIG", "on" if detail.mig_is_on else "", "note"),
    ]


def _of(value: int | None, most: int | None, unit: str = "") -> str:
    return "" if value is None else f"{value}{unit}" if most in (None, value) else f"{value} of {most}{unit}"


def user_line(user: GpuUser, width: int) -> Line:
    """Return a process: ours by run, rank and step, a stranger's by its command."""
    head = f" {user.pid:>8}  {fit(user.account, 10)} {fit_right(figures.memory(user.memory_bytes), 7)}  "
    owner = user.owner
    if owner.run is None:
        return line(
            Span(head), Span(fit(user.command or "not visible from here", max(8, width - len(head))), "dim")
        )
    rank = "" if owner.rank is None else f"  rank {owner.rank}"
    step = "" if owner.step is None else f"  step {owner.step}"
    return line(Span(head), Span(f"{one_line(owner.run)}{rank}{step}", "accent"))
