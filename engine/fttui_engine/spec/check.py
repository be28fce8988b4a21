"""The full verdict on a configuration, as ``fttui check`` gives it; its JSON form is a documented, stable interface."""

from typing import Any, NamedTuple

from fttui_engine.spec.memory.report import MemoryReport, report_memory
from fttui_engine.spec.resolved import Resolved

# Parts of the names of environment variables whose values are nobody's business.
SECRET_WORDS = ("TOKEN", "KEY", "SECRET", "PASSWORD", "CREDENTIAL")
MASK = "***"


class CheckReport(NamedTuple):
    """A resolved configuration together with what it is going to need."""

    resolved: Resolved
    memory: MemoryReport

    @property
    def ok(self) -> bool:
        """Whether a run may be started from it."""
        return self.resolved.ok

    def to_json(self) -> dict[str, Any]:
        """The verdict as ``fttui check --json`` prints it; secrets of the environment are masked."""
        findings = self.resolved.findings
        return {
            "ok": self.ok,
            "errors": [finding.to_json() for finding in findings.errors],
            "warnings": [finding.to_json() for finding in findings.warnings],
            "translated": [translated.to_json() for translated in findings.translated],
            "ignored": [ignored.to_json() for ignored in findings.ignored],
            "memory": self.memory.to_json(),
            "resolved": masked(self.resolved.values),
        }


def check(resolved: Resolved) -> CheckReport:
    """The verdict on ``resolved``; reads the free memory of the GPUs, and touches them no further."""
    return CheckReport(resolved, report_memory(resolved))


def masked(values: dict[str, Any]) -> dict[str, Any]:
    """``values`` fit to be shown: environment variables that look like secrets lose their value."""
    environment = values.get("run", {}).get("environment")
    if not environment:
        return values
    shown = {
        name: MASK if any(word in name.upper() for word in SECRET_WORDS) else text
        for name, text in environment.items()
    }
    return {**values, "run": {**values["run"], "environment": shown}}
