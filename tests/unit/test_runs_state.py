"""Where a run stands: the state file, its rebuilding from events, and what a later release may have written."""

import json
import math
import random
import shutil
from pathlib import Path

import pytest

from fttui_engine.errors import NoSuchRunError
from fttui_engine.runs.attempt import NEWEST, Exit, Launch, Outcome, Progress, Request
from fttui_engine.runs.commands import STOP, drop_command, waiting_commands
from fttui_engine.runs.events import read_events
from fttui_engine.runs.files import DamagedFileError, write_json
from fttui_engine.runs.home import ensure_home
from fttui_engine.runs.identity import identify_self, identity_to_json
from fttui_engine.runs.journal import ExitVerdict, Journal, read_state
from fttui_engine.runs.lock import charge_lock
from fttui_engine.runs.metrics import read_metrics
from fttui_engine.runs.run import Plan, Run, hidden_run_folder, new_run_folder
from fttui_engine.runs.states import LIVE, State, can_follow
from fttui_engine.runs.summary import summarize

VERDICT = ExitVerdict("signal", None, 9, "Killed by SIGKILL.", "resume it")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    ensure_home(tmp_path)
    run = new_run_folder(hidden_run_folder(tmp_path))
    run.write_plan(Plan("demo", "train", ["true"], {"A": "b"}, "/", str(run.checkpoints_dir), [0], 60.0))
    return run


@pytest.fixture
def ended(run: Run) -> Run:
    journal = Journal(run)
    journal.move(State.STARTING, "created", "Created.", attempt=1)
    journal.note("attempt_started", "Started.", {"started_at": 100.0, "attempt_started_at": 100.0})
    journal.move(State.RUNNING, "running", "Running.")
    journal.move(State.FAILED, "failed", VERDICT.message, exit=VERDICT, ended_at=200.0)
    return run


@pytest.mark.parametrize(
    "damage",
    [b"", b"\x00" * 300, b"{", b"null", b'{"state": "failed"}', b'{"state": "failed", "attempt": 1e999}'],
)
def test_lost_state_is_rebuilt_from_the_events(ended: Run, damage: bytes) -> None:
    before = read_state(ended)
    ended.state_path.write_bytes(damage)
    rebuilt = read_state(ended)
    assert (rebuilt.state, rebuilt.attempt, rebuilt.seq) == (before.state, before.attempt, before.seq)
    assert rebuilt.exit == VERDICT
    assert rebuilt.started_at is not None
    assert rebuilt.ended_at is not None


def test_reading_never_writes_and_the_one_in_charge_repairs(ended: Run) -> None:
    ended.state_path.write_bytes(b"\x00")
    read_state(ended)
    assert ended.state_path.read_bytes() == b"\x00"
    journal = Journal(ended)
    assert json.loads(ended.state_path.read_bytes())["state"] == "failed"
    assert [path.read_bytes() for path in ended.path.glob("state.json.damaged-*")] == [b"\x00"]
    assert read_events(ended.events_path)[-1].event == "state_rebuilt"
    assert journal.state.seq == 5


def test_deleted_state_is_rebuilt(ended: Run) -> None:
    ended.state_path.unlink()
    assert read_state(ended).state is State.FAILED


def test_rebuilding_forgets_the_end_of_an_earlier_attempt(ended: Run) -> None:
    Journal(ended).move(State.STARTING, "resume_requested", "Resume.", attempt=2, exit=None, ended_at=None)
    ended.state_path.unlink()
    state = read_state(ended)
    assert (state.state, state.attempt, state.exit, state.ended_at) == (State.STARTING, 2, None, None)


def test_torn_last_event_leaves_the_one_before(ended: Run) -> None:
    ended.state_path.unlink()
    content = ended.events_path.read_bytes()
    ended.events_path.write_bytes(content[:-20])
    assert read_state(ended).state is State.RUNNING


def test_fields_of_a_later_release_are_passed_over(ended: Run) -> None:
    value = json.loads(ended.state_path.read_bytes())
    write_json(
        ended.state_path, {**value, "schema": 2, "colour": "blue", "exit": {**value["exit"], "new": [1]}}
    )
    assert read_state(ended).state is State.FAILED
    assert read_state(ended).exit == VERDICT


def test_state_of_a_later_release_is_read_as_the_last_known_one(ended: Run) -> None:
    value = json.loads(ended.state_path.read_bytes())
    write_json(ended.state_path, {**value, "state": "hibernating"})
    with ended.events_path.open("a") as file:
        file.write('{"time": 1.0, "seq": 9, "event": "hibernated", "attempt": 1, "state": "hibernating"}\n')
    assert read_state(ended).state is State.FAILED
    assert read_state(ended).seq == 9
    assert read_events(ended.events_path)[-1].event == "hibernated"


def test_events_without_sense_are_passed_over(ended: Run) -> None:
    count = len(read_events(ended.events_path))
    with ended.events_path.open("a") as file:
        for line in (
            '{"event": "x"}',
            '{"time": "NaN", "seq": 1, "event": "x"}',
            '{"time": 1, "seq": 1e999, "event": 1}',
        ):
            file.write(line + "\n")
    assert len(read_events(ended.events_path)) == count


def test_sequence_only_grows_and_times_are_kept(ended: Run) -> None:
    sequence = [event.seq for event in read_events(ended.events_path)]
    assert sequence == [1, 2, 3, 4]
    assert read_state(ended).ended_at == 200.0


def test_ways_that_the_table_does_not_have_are_refused(ended: Run) -> None:
    journal = Journal(ended)
    with pytest.raises(ValueError, match="cannot become running"):
        journal.move(State.RUNNING, "running", "")
    assert len(read_events(ended.events_path)) == 4, "nothing was recorded of it"


def test_every_live_state_can_end_and_every_ended_one_start_again() -> None:
    for state in State:
        assert can_follow(state, state)
        if state not in LIVE:
            assert can_follow(state, State.STARTING)
            assert not can_follow(state, State.RUNNING)
    assert all(can_follow(state, State.STOPPED) for state in LIVE)


def test_run_whose_folder_is_gone_is_not_waited_for(run: Run) -> None:
    shutil.rmtree(run.path)
    assert not read_state(run).state.is_live
    with pytest.raises(NoSuchRunError), charge_lock(run):
        raise AssertionError("a deleted run has no lock")


def test_plan_comes_back_and_a_damaged_one_is_said_to_be(run: Run) -> None:
    plan = run.read_plan()
    run.write_plan(plan)
    assert run.read_plan() == plan
    for damage in (b"", b"{}", b'{"schema": 1, "name": "x", "argv": 5}'):
        run.plan_path.write_bytes(damage)
        with pytest.raises(DamagedFileError, match=r"plan\.json"):
            run.read_plan()


RUBBISH = [
    None,
    True,
    -1,
    10**400,
    1e308,
    math.nan,
    "",
    "NaN",
    "\0",
    "x" * 5000,
    [],
    [[1]],
    {},
    {"a": {"b": []}},
]


def _rubbish(source: random.Random, value: object) -> object:
    """Return ``value`` with some of its parts replaced by what does not belong there."""
    if source.random() < 0.3:
        return source.choice(RUBBISH)
    if isinstance(value, dict):
        return {key: _rubbish(source, item) for key, item in value.items() if source.random() > 0.1}
    return value


def test_whatever_stands_in_the_files_a_summary_is_given(ended: Run) -> None:
    from fttui.cli.show import _facts, _row

    attempt = ended.attempt(1)
    attempt.create(Request(NEWEST, 5))
    attempt.write_launch(Launch(["a"], {"b": "c"}, "/", None, None))
    attempt.write_progress(Progress("train", 5, 10, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6))
    attempt.write_outcome(Outcome("failed", 5, 10, "no", "advice", "oom_cuda", "x"))
    attempt.write_exit(Exit(1, 0, None, 1.0, 2.0))
    self_json = identity_to_json(identify_self())
    write_json(ended.keeper_path, {"keeper": self_json, "attempt": 1, "process": self_json})
    write_json(ended.lease_path, {"supervisor": self_json})
    (ended.checkpoints_dir / "checkpoint-5").mkdir(parents=True)
    write_json(
        ended.checkpoints_dir / "checkpoint-5" / "manifest.json", {"step": 5, "files": [{"name": "x"}]}
    )
    drop_command(ended, STOP)
    files = [path for path in ended.path.rglob("*.json*") if path.is_file()]
    good = {path: path.read_bytes() for path in files}
    source = random.Random(5)
    for _ in range(300):
        for path, content in good.items():
            lines = content.splitlines() if path.suffix == ".jsonl" else [content]
            values = [json.dumps(_rubbish(source, json.loads(line))) for line in lines]
            path.write_text("\n".join(values) + "\n")
        summary = summarize(ended)
        json.dumps(summary.to_json(), allow_nan=False)
        _facts(summary)
        _row(summary)
        waiting_commands(ended)
        read_metrics(ended.events_path)
        for read in (attempt.read_request, attempt.read_launch, attempt.read_exit, attempt.read_outcome):
            read()
