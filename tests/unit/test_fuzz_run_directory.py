"""Whatever stands in a run directory, it is read without a crash: a viewer must show the other runs all the same."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fttui_engine.errors import FttuiError
from fttui_engine.runs import checkpoints, queueing
from fttui_engine.runs.attempt import Launch, Outcome, Progress, Request
from fttui_engine.runs.commands import waiting_commands
from fttui_engine.runs.events import read_events
from fttui_engine.runs.identity import identify_self, identity_from_json, identity_to_json
from fttui_engine.runs.journal import Journal, new_state, read_state, rebuild_state
from fttui_engine.runs.memory import read_memory
from fttui_engine.runs.metrics import MetricsFollower, read_metrics, sample_metrics
from fttui_engine.runs.notices import read_notices
from fttui_engine.runs.pulse import read_pulses
from fttui_engine.runs.run import Plan, Run, new_run_folder
from fttui_engine.runs.stacks import read_dumps
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import summarize
from fuzzing import FUZZ, spoiled

SELF = identity_to_json(identify_self())
PLAN = Plan("r", "train", ["true"], {"A": "b"}, "/", "", [0], 60.0)._asdict()
VERDICT = {"kind": "signal", "code": None, "signal": 9, "message": "m", "advice": "a"}
STATE = {**new_state()._asdict(), "state": "failed", "ended_at": 1.0, "exit": VERDICT}
EVENT = {
    "time": 1.0,
    "seq": 1,
    "event": "failed",
    "attempt": 1,
    "state": "failed",
    "message": "m",
    "data": {"exit": VERDICT},
}
GOOD: dict[str, dict[str, Any]] = {
    "plan.json": PLAN,
    "state.json": STATE,
    "events.jsonl": EVENT,
    "metrics.jsonl": {"time": 1.0, "step": 3, "loss": 1.5, "epoch": 0.1, "attempt": 1, "eval_loss": 2.0},
    "keeper.json": {"schema": 1, "keeper": SELF, "attempt": 1, "process": SELF},
    "lease.json": {"schema": 1, "supervisor": SELF},
    "queue.json": queueing.QueueRequest(1.0, 2, (0, 1), 3, True, ("a",), "s", (("k", "v"),))._asdict(),
    "memory.json": {"predicted_bytes": 1, "measured_bytes": 2, "terms": {"weights": 1}},
    "commands/new/1-x.json": {"verb": "stop", "client": "c", "time": 1.0, "id": "1-x"},
    "attempts/001/progress.json": Progress("train", 3, 10, 0.1, 1.5, 9.0, 0.1, 5.0, 1.0, 1)._asdict(),
    "attempts/001/outcome.json": Outcome("failed", 3, 10, "m", "a", "k", "c", {"a": 1}, 3)._asdict(),
    "attempts/001/exit.json": {"pid": 1, "code": None, "signal": 9, "started_at": 1.0, "ended_at": 2.0},
    "attempts/001/request.json": Request("newest", 3, 1.0, 1, 1, {"a": 1})._asdict(),
    "attempts/001/launch.json": Launch(["true"], {"A": "b"}, "/", "/x", 3)._asdict(),
    "attempts/001/notices.jsonl": {"time": 1.0, "message": "m"},
}


def read_all(run: Run) -> None:
    """Read everything as the viewers and supervisors do."""
    state = read_state(run)
    rebuild_state(run)
    read_events(run.events_path)
    read_metrics(run.metrics_path)
    sample_metrics(run.metrics_path, 10)
    MetricsFollower(run.metrics_path).poll()
    queueing.read_queue_request(run.queue_path)
    waiting_commands(run)
    read_memory(run.path)
    attempt = run.attempt(1)
    for read in (
        attempt.read_request,
        attempt.read_launch,
        attempt.read_progress,
        attempt.read_outcome,
        attempt.read_exit,
    ):
        read()
    attempt.read_rank_failure(0)
    read_notices(attempt.notices_path)
    read_pulses(attempt.path)
    read_dumps(attempt.stacks_path)
    summary = summarize(run)
    json.dumps(summary.to_json())
    assert isinstance(summary.state, State)
    assert 0 <= state.attempt <= 99_999
    with contextlib.suppress(FttuiError):
        run.read_plan()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    (folder / "runs").mkdir()
    made = new_run_folder(folder / "runs" / "r")
    made.attempt(1).create(Request("scratch"))
    return made


def put_good(run: Run) -> None:
    for name, value in GOOD.items():
        (run.path / name).write_text(json.dumps(value) + "\n")


@pytest.mark.parametrize("name", GOOD)
def test_a_spoiled_file_is_read_without_a_crash(run: Run, name: str) -> None:
    put_good(run)
    read_all(run)

    @FUZZ
    @given(spoiled(GOOD[name]))
    def spoil(content: bytes) -> None:
        (run.path / name).write_bytes(content)
        read_all(run)

    spoil()


def test_a_supervisor_begins_its_work_in_any_of_them(run: Run) -> None:
    put_good(run)

    @FUZZ
    @given(spoiled(STATE), spoiled(EVENT))
    def spoil(state: bytes, event: bytes) -> None:
        run.state_path.write_bytes(state)
        run.events_path.write_bytes(event)
        journal = Journal(run)
        journal.note("x", "x")
        read_all(run)

    spoil()


@FUZZ
@given(spoiled({"who": SELF}))
def test_an_identity_is_one_or_none(content: bytes) -> None:
    try:
        value = json.loads(content)
    except ValueError:
        return
    found = identity_from_json(value.get("who") if isinstance(value, dict) else value)
    assert found is None or found.liveness() is not None


def test_a_manifest_is_good_or_said_to_be_damaged(folder: Path) -> None:
    checkpoint = folder / "out" / "checkpoint-7"
    checkpoint.mkdir(parents=True)
    (checkpoint / "weights").write_bytes(b"w" * 100)
    checkpoints.seal(checkpoint, 7, 1, {"fttui": "1"}, {"tokens": 1})
    good = json.loads((checkpoint / checkpoints.MANIFEST).read_text())

    @FUZZ
    @given(spoiled(good))
    def spoil(content: bytes) -> None:
        (checkpoint / checkpoints.MANIFEST).write_bytes(content)
        assert len(checkpoints.list_checkpoints(folder / "out")) == 1
        for look in (checkpoints.read_manifest, checkpoints.verify):
            with contextlib.suppress(checkpoints.CheckpointDamagedError):
                assert look(checkpoint).step == 7

    spoil()


@FUZZ
@given(st.binary(max_size=300))
def test_pulses_and_stacks_are_any_bytes(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        for file in ("pulse.rank0", "rank0.txt"):
            Path(name, file).write_bytes(content)
        read_pulses(Path(name))
        read_dumps(Path(name))
