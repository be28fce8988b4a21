"""From a resolved configuration to a report on its data, made by a process that has the tokenizer's libraries."""

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from fttui_engine.errors import ExitCode, FttuiError, WrongRequestError

if TYPE_CHECKING:
    from fttui_engine.spec.resolved import Resolved

# Of the errors of a configuration, those of these groups concern its data or the tokenizer.
_GROUPS = ("data", "model", "preference")
_END_SECONDS = 10.0


class ReportFailedError(FttuiError):
    """The report was not made; why stands above this on stderr."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("the data cannot be reported on", "the lines above say why")
        self.exit_code = ExitCode(exit_code) if exit_code in set(ExitCode) else ExitCode.FAILED


def report_data(resolved: "Resolved", examples: int) -> dict[str, Any]:
    """Return what ``fttui data --json`` prints; raises FttuiError where the data cannot be prepared."""
    from fttui_engine.spec.keys import GROUPS, KEYS

    about_data = {"stage", *(key.name for group in _GROUPS if group in GROUPS for key in GROUPS[group])}
    errors = [error for error in resolved.findings.errors if error.key in about_data or error.key not in KEYS]
    if errors or resolved.run.command:
        lines = [error.message for error in errors] or ["this configuration starts a program of its own"]
        raise WrongRequestError("\n".join(lines), "fttui check says more")
    request = {"values": resolved.values, "processes": _processes(resolved), "examples": examples}
    python = resolved.run.python or sys.executable
    argv = [python, "-P", "-m", "fttui_engine.train.data", json.dumps(request)]
    environment = {
        **os.environ,
        **(resolved.run.environment or {}),
        "TOKENIZERS_PARALLELISM": "false",
        # Nothing is computed on a GPU, and none is to be touched.
        "CUDA_VISIBLE_DEVICES": "",
    }
    try:
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise WrongRequestError(f"{python} cannot be run: {error.strerror}", "correct run.python") from error
    with child:
        try:
            output, _ = child.communicate()
        except KeyboardInterrupt:
            # Ctrl-C went to the child too; it removes what it was writing.
            _end(child)
            raise
    if child.returncode == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if child.returncode != 0:
        raise ReportFailedError(child.returncode)
    report: dict[str, Any] = json.loads(output)
    return report


def _end(child: "subprocess.Popen[bytes]") -> None:
    try:
        child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


def _processes(resolved: "Resolved") -> int:
    """Return how many processes will share a step, as far as the configuration says it."""
    values = resolved.values.get("run", {})
    gpus = values.get("gpus")
    if values.get("processes"):
        return int(values["processes"])
    if isinstance(gpus, list):
        return max(1, len(gpus))
    return max(1, gpus) if isinstance(gpus, int) else 1
