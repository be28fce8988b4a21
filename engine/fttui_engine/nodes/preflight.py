"""Whether some machines can train together: everything that would otherwise be a silence of minutes, asked at once.

Measured in the laboratory of three hosts: an occupied master port, dropped packets and blocked ports of gloo each cost
75 to 150 s without a line in any log.
"""

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from fttui_engine.doctor.finding import Finding
from fttui_engine.nodes.checks_alone import judge_alone
from fttui_engine.nodes.checks_files import FilesReport, look_at_files
from fttui_engine.nodes.checks_network import Link, exchange_seconds, look_at_network
from fttui_engine.nodes.checks_versions import judge_gpu_kinds, judge_versions
from fttui_engine.nodes.facts import learn
from fttui_engine.nodes.needed import Needed, needed_by
from fttui_engine.nodes.talks import Talks

if TYPE_CHECKING:
    from fttui_engine.spec.resolved import Resolved

MASTER_PORT = 29500
SUBJECTS = (
    "ssh", "machine", "clock", "name", "interface", "ports", "link", "versions", "GPUs", "model", "data", "disk",
    "limits", "environment", "runs",
)  # fmt: skip
"""The order in which findings are told."""


class Demands(NamedTuple):
    """What a configuration wants of every machine."""

    files: list[Needed]
    disk_bytes: int
    gpu_bytes: int | None
    gradient_bytes: int | None
    """What the machines exchange at each step; ``None`` where that is not known."""


class Report(NamedTuple):
    """Findings by machine, and what a step is going to wait for the network."""

    findings: dict[str, list[Finding]]
    links: list[Link]
    files: FilesReport
    gradient_bytes: int | None
    exchange_seconds: float | None
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing prevents a training."""
        return not any(each.level == "problem" for found in self.findings.values() for each in found)

    def to_json(self) -> dict[str, Any]:
        """The report as ``fttui nodes check --json`` prints it."""
        return {
            "ok": self.ok,
            "machines": {
                name: [finding._asdict() for finding in found] for name, found in self.findings.items()
            },
            "links": [link._asdict() for link in self.links],
            "gradient_bytes": self.gradient_bytes,
            "exchange_seconds": self.exchange_seconds,
            "places": self.files.places,
            "seconds": self.seconds,
        }


NO_DEMANDS = Demands([], 0, None, None)


def demands_of(resolved: "Resolved") -> Demands:
    """What a configuration that can be started wants; files are read for their digests."""
    from fttui_engine.launch.disk_room import disk_rooms
    from fttui_engine.spec.memory.report import report_memory

    report = report_memory(resolved)
    return Demands(
        needed_by(resolved),
        sum(room.needed_bytes for room in disk_rooms(resolved)),
        None if report.prediction is None else report.prediction.predicted_bytes,
        gradient_bytes_of(resolved),
    )


def gradient_bytes_of(resolved: "Resolved") -> int | None:
    """The gradients of all that is trained, ``None`` where the model's shape is not known here."""
    from fttui_engine.spec.memory.model_config import read_model_config
    from fttui_engine.spec.memory.model_shape import UnknownShapeError
    from fttui_engine.spec.memory.shape_reading import read_shape
    from fttui_engine.spec.memory.workload import read_workload

    values = resolved.values
    if not resolved.ok or resolved.run.command is not None:
        return None
    try:
        name, revision = values["model_name_or_path"], values["model_revision"]
        shape = read_shape(read_model_config(name, revision, values.get("cache_dir")))
        return read_workload(values, shape, on_cpu=False, processes=1).trained_bytes
    except UnknownShapeError:
        return None


def preflight(talks: Talks, demands: Demands = NO_DEMANDS, master_port: int = MASTER_PORT) -> Report:
    """Ask and judge; a machine that cannot be talked to is a finding, and the others are told without it."""
    began = time.monotonic()
    learned = talks.each(learn)
    machines = list(learned.values())
    findings: dict[str, list[Finding]] = {machine.name: [] for machine in talks.machines}
    for facts in machines:
        findings[facts.machine.name] += judge_alone(facts, demands.disk_bytes, demands.gpu_bytes)
    mesh = look_at_network(talks, machines, master_port)
    files = look_at_files(talks, machines, demands.files)
    for name, finding in (
        *judge_versions(machines),
        *judge_gpu_kinds(machines),
        *mesh.findings,
        *files.findings,
    ):
        findings[name].append(finding)
    for facts in machines:
        trip = facts.round_trip_seconds * 1000
        findings[facts.machine.name].append(Finding("ssh", "ok", f"answers in {trip:.1f} ms"))
    for name, error in talks.broken.items():
        kept = [each for each in findings[name] if each.subject != "ssh"]
        findings[name] = [Finding("ssh", "problem", error.message, error.hint), *kept]
    cost = None
    if demands.gradient_bytes is not None:
        cost = exchange_seconds(demands.gradient_bytes, len(machines), mesh.links)
    ordered = {
        name: sorted(found, key=lambda each: SUBJECTS.index(each.subject)) for name, found in findings.items()
    }
    return Report(ordered, mesh.links, files, demands.gradient_bytes, cost, time.monotonic() - began)
