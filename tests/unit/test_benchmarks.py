"""The benchmarks can be started and say what they do; what they measure takes minutes, and is not done here."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = (
    "start_to_first_step",
    "throughput",
    "checkpoint_cost",
    "command_start",
    "tui_figures",
    "gpu_table",
    "two_hundred_faults",
    "train_one",
)
DOCUMENTATION = FOLDER.parent / "docs" / "benchmarks.md"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_describes_itself(name: str) -> None:
    script = FOLDER / f"{name}.py"
    done = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    first_line = script.read_text().partition('"""')[2].splitlines()[0]
    assert " ".join(first_line.split()) in " ".join(done.stdout.split())


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_wrong_option_is_a_usage_error(name: str) -> None:
    script = [sys.executable, str(FOLDER / f"{name}.py"), "--no-such-option"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_every_table_of_the_documentation_names_its_command() -> None:
    text = DOCUMENTATION.read_text()
    for name in SCRIPTS[:-1]:
        assert f"python benchmarks/{name}.py" in text
