"""From a resolved configuration to a report on its data, made by a process that has the tokenizer's libraries."""

import json
import os
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, Any

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


class DataLook:
    """A look at data that is under way in a process of its own, for a screen: cancellable, and silent.

    The process ends with this one, however it ends: it waits for the end of a pipe that only we hold.
    """

    def __init__(self, resolved: "Resolved", examples: int) -> None:
        self._child = _start(resolved, examples, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        self._is_cancelled = False

    def report(self) -> dict[str, Any] | None:
        """Wait for the report; None after ``cancel``, FttuiError where the data cannot be prepared."""
        said: list[str] = []
        with self._child as child:
            listener = threading.Thread(target=_listen, args=(child.stderr, said), daemon=True)
            listener.start()
            # Not communicate(), which would close the pipe whose end is the child's own.
            output = child.stdout.read() if child.stdout else b""
            child.wait()
            listener.join(_END_SECONDS)
        if self._is_cancelled:
            return None
        if child.returncode != 0:
            raise _failure(said, child.returncode)
        report: dict[str, Any] = json.loads(output)
        return report

    def cancel(self) -> None:
        """End the process; may be called from any thread, and at any time."""
        self._is_cancelled = True
        if self._child.stdin:
            # Not kill(): it removes what it was writing to the cache first.
            self._child.stdin.close()


def report_data(resolved: "Resolved", examples: int) -> dict[str, Any]:
    """Return what ``fttui data --json`` prints; raises FttuiError where the data cannot be prepared."""
    child = _start(resolved, examples, stdin=subprocess.DEVNULL, stderr=None)
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


def _start(
    resolved: "Resolved", examples: int, *, stdin: int, stderr: int | None
) -> "subprocess.Popen[bytes]":
    from fttui_engine.spec.keys import GROUPS, KEYS

    about_data = {"stage", *(key.name for group in _GROUPS if group in GROUPS for key in GROUPS[group])}
    errors = [error for error in resolved.findings.errors if error.key in about_data or error.key not in KEYS]
    if errors or resolved.run.command:
        lines = [error.message for error in errors] or ["this configuration starts a program of its own"]
        raise WrongRequestError("\n".join(lines), "fttui check says more")
    request = {
        "values": resolved.values,
        "processes": _processes(resolved),
        "examples": examples,
        "leash": stdin == subprocess.PIPE,
    }
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
        return subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=environment)
    except OSError as error:
        raise WrongRequestError(f"{python} cannot be run: {error.strerror}", "correct run.python") from error


def _listen(stream: IO[bytes] | None, said: list[str]) -> None:
    for line in stream or ():
        said.append(line.decode(errors="replace").rstrip())
        # A library may write without end; what went wrong stands at the end.
        del said[:-200]


def _failure(said: list[str], code: int) -> FttuiError:
    """What the process said last: a line that begins with ``fttui:``, and below it what to do."""
    for place in range(len(said) - 1, -1, -1):
        if said[place].startswith("fttui: "):
            hint = " ".join(line.strip() for line in said[place + 1 :])
            return FttuiError(said[place].removeprefix("fttui: "), hint)
    last = next((line for line in reversed(said) if line), f"exit code {code}")
    return FttuiError(f"the data cannot be reported on: {last}", "fttui data CONFIG shows all of it")


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
