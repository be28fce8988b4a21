"""Faults of every kind at random moments against one run of two ranks: it ends as if there had been none.

The same program strikes 200 times, see docs/benchmarks.md; every kind comes once here.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "two_hundred_faults.py"
FAULTS = 9
LIMIT_SECONDS = 280


@pytest.mark.usefixtures("home")
def test_every_fault_once_and_not_a_bit_differs(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "--mount", "--map-root-user", "true"], capture_output=True).returncode:
        pytest.skip("a disk of one's own, to fill it, cannot be mounted here")
    figures = tmp_path / "figures.json"
    argv = [sys.executable, str(SCRIPT), "--faults", str(FAULTS), "--seed", "3"]
    argv += ["--work", str(tmp_path / "work"), "--json", str(figures)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())["figures"]
    assert found["differences"] == []
    assert sum(found["by kind"].values()) == FAULTS and len(found["by kind"]) == FAULTS
    assert found["attempts"] > 1
