"""The pulse of a rank: written after each batch, read by whoever looks for one that is behind."""

import os
import time
from pathlib import Path

import pytest

from fttui_engine.runs.attempt import Attempt
from fttui_engine.runs.pulse import PulseWriter, read_pulses


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    (tmp_path / "001").mkdir()
    return Attempt(tmp_path / "001")


def test_ranks_are_read_as_they_were_written(attempt: Attempt) -> None:
    writers = [PulseWriter(attempt.pulse_path_of(rank)) for rank in range(12)]
    writers[3].phase("eval")
    writers[11].batch()
    writers[11].stepped(7, 1.25)
    pulses = read_pulses(attempt.path)
    assert [pulse.rank for pulse in pulses] == list(range(12))
    assert (pulses[3].phase, pulses[3].beats) == ("eval", 2)
    assert (pulses[11].step, pulses[11].batches, pulses[11].step_seconds) == (7, 1, 1.25)
    assert pulses[0].pid == os.getpid()
    assert pulses[0].status() in ("R", "S")
    assert pulses[0]._replace(start_ticks=1).status() is None, "another process may have its pid by now"
    assert os.stat(attempt.pulse_path_of(0)).st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "content", [b"", b"1 2 3", b"\xff" * 128, b"-1 2 3 4 5 nan train".ljust(128), b"x" * 128]
)
def test_what_is_no_pulse_is_left_out(attempt: Attempt, content: bytes) -> None:
    PulseWriter(attempt.pulse_path_of(0))
    attempt.pulse_path_of(1).write_bytes(content)
    (attempt.path / "pulse.rankx").write_bytes(attempt.pulse_path_of(0).read_bytes())
    assert [pulse.rank for pulse in read_pulses(attempt.path)] == [0]


def test_a_pulse_that_cannot_be_written_ends_nothing(attempt: Attempt) -> None:
    PulseWriter(Path("/dev/full")).beat()
    PulseWriter(attempt.path / "no" / "folder").beat()
    assert read_pulses(attempt.path / "no") == []


@pytest.mark.alone
def test_a_pulse_costs_nothing_beside_a_batch(attempt: Attempt) -> None:
    writer = PulseWriter(attempt.pulse_path_of(0))
    costs = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(1000):
            writer.beat()
        costs.append((time.process_time() - began) / 1000)
    assert min(costs) < 50e-6, "the fastest training step on record takes 60 ms"
