"""The doctor on the screen and its findings about GPUs, with a stand-in for the driver's library."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fake_driver import build
from real_terminal import Terminal

PROBE = b"torch_report.py"


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    return build(tmp_path_factory.mktemp("drivers") / "new")


def findings(driver: Path, state: str) -> list[str]:
    script = (
        "from fttui_engine.doctor.gpus import look_at_gpus\nfor each in look_at_gpus(): print(*each, sep='|')"
    )
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(driver),
        "FAKE_NVML": state,
        "FAKE_NVML_CUDA": "12080",
    }
    return subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.splitlines()


@pytest.mark.parametrize(
    ("state", "beginnings"),
    [
        ("one_gpu", ["driver|ok|NVIDIA driver 550.54.15, knows CUDA up to 12.8", "GPU 0|ok|NVIDIA GeForce RTX 3090, 24 GiB, Ampere 8.6", "precision|ok|bf16"]),
        ("lost_gpu", ["GPU 0|ok|", "GPU 1|warning|GPU 1: GPU is lost|leave it out with run.gpus"]),
        ("bad_memory", ["GPU 0|warning|a bad memory row waits to be replaced|reset the GPU"]),
        ("mig", ["GPU 0|note|MIG has cut it into 2 instances"]),
        ("not_supported", ["precision|note|fp16 but no bf16 (before Ampere)|use fp16: true"]),
        ("pascal", ["precision|note|neither bf16 nor fast fp16"]),
        ("mismatch", ["GPUs|problem|The NVIDIA driver was upgraded"]),
        ("none", ["GPUs|warning|No NVIDIA GPU on this machine"]),
    ],
)  # fmt: skip
def test_gpus_are_judged(state, beginnings, driver):
    found = findings(driver, state)
    for beginning in beginnings:
        assert any(line.startswith(beginning) for line in found), (beginning, found)


def test_the_page_fills_while_a_gpu_hangs_and_leaves_nothing_behind(driver, home):
    variables = {"LD_LIBRARY_PATH": str(driver), "FAKE_NVML": "hung_gpu"}
    with Terminal(home, size=(120, 40), environment=variables) as terminal:
        terminal.sees("RTX 3090")
        terminal.press("D")
        terminal.sees("Doctor", "looking at GPUs, torch", "shared memory", "OMP_NUM_THREADS")
        terminal.sees("no answer for", "leave it out with run.gpus")
        terminal.press("r")
        terminal.sees("looking at GPUs, torch")
        terminal.press("\x1b")
        terminal.sees("There are no runs yet")
        deadline = time.monotonic() + 10
        while children := probes_of(terminal.process.pid):
            assert time.monotonic() < deadline, f"still asking torch: {children}"
            terminal.read(0.1)
        terminal.press("q")
        assert terminal.ends_within(3.0) == 0


def probes_of(pid: int) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and PROBE in (folder / "cmdline").read_bytes():
                found.append(folder.name)
        except OSError:
            continue
    return found
