"""What real runs and probes take is measured, recorded, and near what was predicted."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
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


def probing(home: Path, *words: str) -> list[str]:
    settings = [word for setting in words for word in ("--set", setting)]
    return [sys.executable, "-m", "fttui", "check", "--profile", "demo", "--probe", "--json", *settings]


def test_a_probe_of_several_processes_measures_a_divided_model(home: Path, tmp_path: Path) -> None:
    answer = subprocess.run(
        probing(home, "run.strategy=fsdp", "run.processes=2", "gradient_accumulation_steps=2"),
        env={**os.environ, "FTTUI_HOME": str(home), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    probe = json.loads(answer.stdout)["memory"]["probe"]
    assert (probe["source"], probe["device"], probe["strategy"]) == ("probe", CPU, "fsdp")
    assert probe["ratio"] == pytest.approx(1, abs=0.3)
    assert not list((home / "runs").glob("*"))
    assert not list(tmp_path.glob("fttui-probe-*"))


def test_a_probe_that_nobody_waits_for_any_more_ends_with_all_its_ranks(home: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "FTTUI_HOME": str(home), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        probing(home, "run.processes=2"),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    mark = b"FTTUI_RUN_DIR=" + os.fsencode(tmp_path)
    until(lambda: len(processes_with(mark)) == 3, "launcher and two ranks")
    process.kill()
    process.wait()
    until(lambda: not processes_with(mark), "all of them to be gone")


def processes_with(mark: bytes) -> list[int]:
    """Return the living processes that have something in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (path / "environ").read_bytes():
                found.append(int(path.name))
    return found


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def test_a_probe_that_fails_says_why(home: Path) -> None:
    answer = subprocess.run(
        probing(home, "run.python=/bin/false"),
        env={**os.environ, "FTTUI_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 1
    assert "the probe failed: exit code 1" in answer.stderr
