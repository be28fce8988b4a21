"""What real runs and probes take is measured, recorded, and near what was predicted."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Worker
from fttui_engine.runs.memory import CPU, read_memory


def test_a_run_records_the_prediction_and_the_truth(worker: Callable[..., Worker], tiny_model: Path) -> None:
    run = worker(max_steps=2, save_strategy="no")
    assert run.finish().result == "finished"
    record = read_memory(run.run.path)
    assert record is not None
    assert (record.device, record.model_type, record.strategy, record.source) == (
        CPU,
        "llama",
        "one",
        run.run.id,
    )
    assert record.longest_tokens is not None
    assert 8 < record.longest_tokens < 128, "that of the data, not cutoff_len"
    # Python and libraries are nearly all of it, and differ a little between builds of torch.
    assert record.ratio == pytest.approx(1, abs=0.3)


def test_a_probe_measures_three_steps_and_leaves_nothing_else(
    home: Path, tiny_model: Path, tmp_path: Path
) -> None:
    before = sorted(path.name for path in (home / "runs").glob("*"))
    environment = {**os.environ, "FTTUI_HOME": str(home), "TMPDIR": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-m", "fttui", "check", "--profile", "demo", "--probe", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    probe = json.loads(answer.stdout)["memory"]["probe"]
    assert (probe["source"], probe["device"]) == ("probe", CPU)
    assert probe["ratio"] == pytest.approx(1, abs=0.3)
    assert sorted(path.name for path in (home / "runs").glob("*")) == before
    assert list(tmp_path.iterdir()) == []
    (line,) = (home / "probes.jsonl").read_text().splitlines()
    assert json.loads(line)["measured_bytes"] == probe["measured_bytes"]


def test_a_probe_that_cannot_train_says_why(home: Path, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    words = [
        "--set",
        f"dataset={tmp_path}/data.jsonl",
        "--set",
        "run.strategy=fsdp",
        "--set",
        "run.processes=2",
    ]
    answer = subprocess.run(
        [sys.executable, "-m", "fttui", "check", "--profile", "demo", "--probe", *words],
        env={**os.environ, "FTTUI_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 2
    assert "cannot divide a model" in answer.stderr
    assert "fttui estimates" in answer.stderr
