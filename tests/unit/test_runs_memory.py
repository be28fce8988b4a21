"""Predictions and truths that runs and probes leave behind, and what is made of them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fttui_engine.runs.memory import (
    CPU,
    MemoryRecord,
    all_records,
    append_probe,
    corrections,
    read_memory,
    write_memory,
)

P4 = "Tesla P4"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTTUI_HOME", str(tmp_path))
    return tmp_path


def run_folder(home: Path, name: str) -> Path:
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text("schema: 1\n")
    (folder / "plan.json").write_text("{}")
    return folder


def fttui(home: Path, *words: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-m", "fttui", *words],
        env={**os.environ, "FTTUI_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_what_was_written_is_read(home: Path) -> None:
    record = MemoryRecord(P4, 1000, 1100, "mine", "llama", "ddp", 512)
    folder = run_folder(home, "mine")
    assert read_memory(folder) is None
    write_memory(folder, record)
    assert read_memory(folder) == record
    append_probe(record._replace(source="probe"))
    assert [found.source for found in all_records()] == ["mine", "probe"]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"predicted_bytes": 0}', '{"predicted_bytes": "many"}'])
def test_what_is_damaged_is_no_measurement(home: Path, content: str) -> None:
    folder = run_folder(home, "mine")
    (folder / "memory.json").write_text(content)
    (home / "probes.jsonl").write_text(content + "\n")
    assert read_memory(folder) is None
    assert all_records() == []


def test_the_median_of_each_device_with_its_spread() -> None:
    ratios = {P4: [72, 64, 96, 80], CPU: [48]}
    records = [MemoryRecord(device, 64, peak) for device, peaks in ratios.items() for peak in peaks]
    records.append(MemoryRecord(P4, 100, None))
    first, second = corrections(records)
    assert first == (P4, 4, 1.1875, 1.0, 1.5)
    assert second == (CPU, 1, 0.75, 0.75, 0.75)


def test_estimates_says_when_there_is_nothing_yet(home: Path) -> None:
    assert fttui(home, "estimates").startswith("No measured run yet")
    assert json.loads(fttui(home, "estimates", "--json")) == {"devices": [], "runs": []}


def test_from_three_measurements_on_the_check_corrects_its_prediction(home: Path) -> None:
    def memory() -> dict[str, Any]:
        return dict(json.loads(fttui(home, "check", "--profile", "demo", "--json"))["memory"])

    for peak in (120, 130):
        append_probe(MemoryRecord(CPU, 100, peak))
    append_probe(MemoryRecord(P4, 100, 300))
    assert memory()["correction"] is None
    assert "2 measurements, median +25.0%" in fttui(home, "estimates")
    append_probe(MemoryRecord(CPU, 100, 150))
    corrected = memory()
    assert corrected["correction"]["median"] == pytest.approx(1.3)
    expected = 1.3 * corrected["prediction"]["predicted_bytes"]
    assert corrected["correction"]["corrected_bytes"] == pytest.approx(expected, abs=1)
    assert "3 measurements on CPU were +30% off" in fttui(home, "check", "--profile", "demo")
