"""What a run was predicted to take and what it took: ``memory.json`` in its folder, and what probes left behind."""

import time
from pathlib import Path
from typing import NamedTuple

from fttui_engine.runs.files import (
    SCHEMA,
    Json,
    append_line,
    read_json_or_none,
    read_lines,
    whole_number,
    write_json,
)
from fttui_engine.runs.home import ensure_home, state_home
from fttui_engine.runs.run import all_runs

CPU = "CPU"
# So many measurements, and the median is believed.
ENOUGH = 3


class MemoryRecord(NamedTuple):
    """The prediction for one process of a run, for its own longest examples, and the peak that was measured."""

    device: str
    """The model of the GPU, or ``CPU``."""
    predicted_bytes: int
    measured_bytes: int | None = None
    """``None`` until the run ends, and of a run that failed."""
    source: str = ""
    """The id of the run, or ``probe``."""
    model_type: str = ""
    strategy: str = ""
    longest_tokens: int | None = None
    """Of an example, which is what was predicted for."""

    @property
    def ratio(self) -> float | None:
        """The measured peak as a part of the predicted one."""
        return None if self.measured_bytes is None else self.measured_bytes / self.predicted_bytes


class Correction(NamedTuple):
    """How far predictions for one kind of device were off so far."""

    device: str
    measured: int
    """The number of measurements."""
    median: float
    least: float
    most: float


def write_memory(run_path: Path, record: MemoryRecord) -> None:
    """Record prediction and, at the end, truth in a run's folder."""
    write_json(run_path / "memory.json", _to_json(record))


def append_probe(record: MemoryRecord) -> None:
    """Record the measurement of a probe, which leaves no run behind."""
    append_line(ensure_home().parent / "probes.jsonl", _to_json(record))


def read_memory(run_path: Path) -> MemoryRecord | None:
    """Return what a run recorded, ``None`` where there is nothing to be read."""
    return _from_json(read_json_or_none(run_path / "memory.json"))


def all_records(home: Path | None = None) -> list[MemoryRecord]:
    """Return the records of all runs and probes."""
    runs = [read_memory(run.path) for run in all_runs(home)]
    path = (home or state_home()) / "probes.jsonl"
    probes = [_from_json(line.value) for line in read_lines(path)]
    return [record for record in (*runs, *probes) if record is not None]


def corrections(records: list[MemoryRecord]) -> list[Correction]:
    """Return for each kind of device how far predictions were off, the one with most measurements first."""
    ratios: dict[str, list[float]] = {}
    for record in records:
        if record.ratio is not None:
            ratios.setdefault(record.device, []).append(record.ratio)
    found = [
        Correction(device, len(values), _median(values), min(values), max(values))
        for device, values in ratios.items()
    ]
    return sorted(found, key=lambda correction: (-correction.measured, correction.device))


def _median(values: list[float]) -> float:
    # The module statistics takes 8 ms to import.
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _to_json(record: MemoryRecord) -> Json:
    return {"schema": SCHEMA, "time": time.time(), **record._asdict()}


def _from_json(value: Json | None) -> MemoryRecord | None:
    predicted = whole_number((value or {}).get("predicted_bytes"))
    if value is None or not predicted or predicted < 0:
        return None
    return MemoryRecord(
        device=str(value.get("device", CPU)),
        predicted_bytes=predicted,
        measured_bytes=whole_number(value.get("measured_bytes")),
        source=str(value.get("source", "")),
        model_type=str(value.get("model_type", "")),
        strategy=str(value.get("strategy", "")),
        longest_tokens=whole_number(value.get("longest_tokens")),
    )
