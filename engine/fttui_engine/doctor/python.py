"""The Python that trains: its packages, and whether its torch sees and can use every GPU."""

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from fttui_engine.doctor.finding import Finding
from fttui_engine.hardware.capability import Card
from fttui_engine.hardware.gpus import read_driver_cuda, read_gpus
from fttui_engine.hardware.torch_build import build_problem, installed_build
from fttui_engine.version import __version__

# Importing torch takes 2 s from a warm disk and has been seen to take a minute from a network disk.
PROBE_SECONDS = 90.0
DEADLINE_SECONDS = PROBE_SECONDS + 70.0
PROBE = Path(__file__).parents[1] / "train" / "torch_report.py"
INSTALL = 'pip install "fttui[train]" (docs/install.md)'


def look_at_python() -> list[Finding]:
    """The Python and fttui that run now."""
    text = (
        f"fttui {__version__} on Python {platform.python_version()}, {platform.system()} {platform.release()}"
    )
    return [Finding("fttui", "ok", text)]


class TorchCheck:
    """Asks a short process of the Python that trains, which ends with this check."""

    def __init__(self, python: str | None) -> None:
        self._python = python
        self._process: subprocess.Popen[str] | None = None

    def look(self) -> list[Finding]:
        """Start the process, and judge what it says."""
        argv = [self._python or sys.executable, "-P", str(PROBE)]
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except OSError as error:
            fix = "correct run.python, or what --python says"
            return [Finding("torch", "problem", f"{argv[0]} cannot be run: {error.strerror}", fix)]
        try:
            said, complained = self._process.communicate(timeout=PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            text = f"importing torch took more than {PROBE_SECONDS:.0f} s"
            fix = "put the Python environment on a local disk, or look at GPUs that hang (fttui gpus)"
            return [Finding("torch", "warning", text, fix)]
        return _judge(said, complained, self._process.returncode, self._python)

    def give_up(self) -> None:
        """End the process."""
        if self._process and self._process.poll() is None:
            self._process.kill()


def _judge(said: str, complained: str, code: int, python: str | None) -> list[Finding]:
    line = said.strip().rpartition("\n")[2]
    try:
        report = json.loads(line)
    except ValueError:
        words = (complained.strip() or said.strip()).rpartition("\n")[2] or "without a word"
        text = f"torch ends its process (exit code {code}): {words}"
        return [Finding("torch", "problem", text, f"install it anew: {INSTALL}")]
    if "error" in report:
        text = f"torch cannot be imported: {report['error']}"
        return [Finding("torch", "problem", text, f"install what trains: {INSTALL}")]
    return [_torch(report), *_gpus(report, python), *_packages(report), *_four_bit(report)]


def _torch(report: dict[str, Any]) -> Finding:
    cuda = f"CUDA {report['cuda']}, cuDNN {report['cudnn']}" if report["cuda"] else "for the CPU only"
    return Finding("torch", "ok", f"torch {report['version']}, {cuda}")


def _gpus(report: dict[str, Any], python: str | None) -> list[Finding]:
    gpus = [gpu for gpu in read_gpus().gpus if gpu.answers and not gpu.trouble]
    build = installed_build(python)
    cards = [
        Card(f"GPU {gpu.index} ({gpu.name})", gpu.compute_capability)
        for gpu in gpus
        if gpu.compute_capability
    ]
    problem = build_problem(build, cards, read_driver_cuda()) if build else None
    if problem:
        # The command stands in the advice.
        text = problem.text.partition(" This one ")[0]
        return [Finding("torch", "problem" if problem.is_error else "warning", text, problem.suggestion)]
    count, hidden = report["gpus"], report["visible"]
    if not gpus or count == len(gpus):
        return [Finding("torch", "ok", f"torch sees all {count} GPUs")] if gpus else []
    if hidden is not None:
        text = f"torch sees {count} of {len(gpus)} GPUs, because CUDA_VISIBLE_DEVICES is {hidden!r} in this shell"
        return [
            Finding("torch", "note", text, "unset it if the others are meant to be used; run.gpus chooses")
        ]
    text = f"torch sees {count} of {len(gpus)} GPUs: {report['cuda_problem'] or 'it does not say why'}"
    fix = "have nvidia-smi and torch use the same driver; in a container, start it with --gpus all"
    return [Finding("torch", "problem" if not count else "warning", text, fix)]


def _packages(report: dict[str, Any]) -> list[Finding]:
    packages = report["packages"]
    missing = [name for name, version in packages.items() if version is None]
    shown = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    findings = [Finding("packages", "ok", shown)] if shown else []
    if missing:
        text = f"not installed: {', '.join(missing)}"
        findings.append(Finding("packages", "problem", text, f"install what trains: {INSTALL}"))
    return findings


def _four_bit(report: dict[str, Any]) -> list[Finding]:
    said = report["bitsandbytes"]
    if said["version"] is None:
        text = (
            f"bitsandbytes is not there, which quantization_bit and 8-bit optimizers need: {said['problem']}"
        )
        return [Finding("bitsandbytes", "warning", text, f"install it: {INSTALL}")]
    if said["problem"]:
        text = f"bitsandbytes {said['version']} cannot pack weights into 4 bits here: {said['problem']}"
        return [
            Finding(
                "bitsandbytes",
                "warning",
                text,
                "pip install -U bitsandbytes; python -m bitsandbytes tells more",
            )
        ]
    return [
        Finding(
            "bitsandbytes", "ok", f"bitsandbytes {said['version']} packs and unpacks on the {said['device']}"
        )
    ]
