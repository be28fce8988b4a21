"""The full verdict on a configuration, as ``fttui check`` gives it; its JSON form is a documented, stable interface."""

from typing import Any, NamedTuple

from fttui_engine.spec.resolved import Resolved

# Parts of the names of environment variables whose values are nobody's business.
SECRET_WORDS = ("TOKEN", "KEY", "SECRET", "PASSWORD", "CREDENTIAL")
MASK = "***"
NO_ESTIMATE = "This release does not estimate memory; start with a small per_device_train_batch_size."
NO_CONFIGURATION = "There is no estimate for a configuration with errors or for a program of your own."


class CheckReport(NamedTuple):
    """A resolved configuration together with what it is going to need."""

    resolved: Resolved
    memory: dict[str, Any]

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
            "memory": self.memory,
            "resolved": masked(self.resolved.values),
        }


def check(resolved: Resolved) -> CheckReport:
    """The verdict on ``resolved``; reads the free memory of the GPUs, and touches them no further."""
    return CheckReport(resolved, _memory(resolved))


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


def _memory(resolved: Resolved) -> dict[str, Any]:
    """What is free; predictions stay null, with the reason beside them, because a guess would be taken for one."""
    is_training = resolved.ok and resolved.run.command is None
    on_cpu = resolved.values.get("use_cpu") or resolved.run.gpus == "none"
    return {
        "per_gpu": _free_memory(resolved) if is_training and not on_cpu else [],
        "host_bytes": None,
        "disk_bytes": None,
        "fits": None,
        "advice": [],
        "reason": NO_ESTIMATE if is_training else NO_CONFIGURATION,
    }


def _free_memory(resolved: Resolved) -> list[dict[str, Any]]:
    from fttui_engine.hardware.gpus import read_gpus

    wanted = resolved.run.gpus
    return [
        {
            "index": gpu.index,
            "predicted_bytes": None,
            "free_bytes": gpu.memory_total_bytes - gpu.memory_used_bytes,
            "terms": {},
        }
        for gpu in read_gpus().gpus
        if gpu.memory_total_bytes is not None
        and gpu.memory_used_bytes is not None
        and (not isinstance(wanted, tuple) or gpu.index in wanted)
    ]
