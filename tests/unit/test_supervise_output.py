"""Output folders outside the run directory: one run at a time."""

import json
import os
from pathlib import Path

import pytest

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.checkpoints import seal
from fttui_engine.runs.files import write_json
from fttui_engine.runs.home import ensure_home
from fttui_engine.runs.identity import identify_self, identity_to_json
from fttui_engine.runs.journal import Journal
from fttui_engine.runs.run import Plan, Run, claim_run_folder, hidden_run_folder, new_run_folder
from fttui_engine.runs.states import State
from fttui_engine.supervise.output import OWNER, claim_output, reclaim_output, release_output


def make_run(home: Path, output_dir: Path, state: State) -> Run:
    ensure_home(home)
    draft = new_run_folder(hidden_run_folder(home))
    plan = Plan("demo", "train", ["true"], {}, "/", str(output_dir), None, 60.0)
    run = claim_run_folder("demo", draft.path, lambda run: draft.write_plan(plan), home)
    journal = Journal(run)
    journal.move(State.STARTING, "created", "Created.", attempt=1)
    if state is not State.STARTING:
        journal.move(state, "moved", "Moved.")
    return run


def claim(run: Run, output_dir: Path, *, take_over: bool = False) -> None:
    with claim_output(str(output_dir), take_over=take_over) as set_owner:
        set_owner(run)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results" / "deep" / "out"


def test_live_owner_keeps_its_folder(home: Path, out: Path) -> None:
    claim(make_run(home, out, State.RUNNING), out)
    with pytest.raises(WrongRequestError, match="belongs to the run demo, which is running"):
        claim(make_run(home, out, State.STARTING), out, take_over=True)
    assert json.loads((out / OWNER).read_bytes())["id"] == "demo"


def test_folder_with_checkpoints_needs_to_be_taken_over(home: Path, out: Path) -> None:
    claim(make_run(home, out, State.FINISHED), out)
    (out / "checkpoint-3").mkdir()
    seal(out / "checkpoint-3", 3, 1, {})
    second = make_run(home, out, State.STARTING)
    with pytest.raises(WrongRequestError, match=r"already holds checkpoints of the run demo .*checkpoint-3"):
        claim(second, out)
    claim(second, out, take_over=True)
    assert json.loads((out / OWNER).read_bytes())["run_dir"] == str(second.path)


def test_failed_claim_leaves_no_trace(tmp_path: Path, home: Path, out: Path) -> None:
    run = make_run(home, out, State.STARTING)
    with pytest.raises(KeyError), claim_output(str(out), take_over=False) as set_owner:
        set_owner(run)
        raise KeyError("the start failed")
    assert not (tmp_path / "results").exists()
    out.mkdir(parents=True)
    (out / "checkpoint-3").mkdir()
    with pytest.raises(WrongRequestError):
        claim(run, out)
    assert os.listdir(out) == ["checkpoint-3"]


def test_failed_claim_gives_the_folder_back_to_its_owner(home: Path, out: Path) -> None:
    first, second = make_run(home, out, State.FINISHED), make_run(home, out, State.STARTING)
    claim(first, out)
    with pytest.raises(KeyError), claim_output(str(out), take_over=True) as set_owner:
        set_owner(second)
        raise KeyError("the start failed")
    assert json.loads((out / OWNER).read_bytes())["id"] == first.id


def test_claim_of_a_run_that_stands_is_kept(home: Path, out: Path) -> None:
    run = make_run(home, out, State.STARTING)
    write_json(run.keeper_path, {"keeper": identity_to_json(identify_self()), "attempt": 1, "process": None})
    with pytest.raises(KeyboardInterrupt), claim_output(str(out), take_over=False) as set_owner:
        set_owner(run)
        raise KeyboardInterrupt
    assert (out / OWNER).exists()


def test_owner_that_was_deleted_or_cannot_be_read_is_none(home: Path, out: Path) -> None:
    for content in (b"", b"\x00\xff", b"[]", b'{"run_dir": 5}', b'{"run_dir": "/nowhere/x", "id": "x"}'):
        out.mkdir(parents=True, exist_ok=True)
        (out / OWNER).write_bytes(content)
        claim(make_run(home, out, State.FINISHED), out)


def test_ended_run_cannot_go_on_in_a_folder_that_another_took_over(home: Path, out: Path) -> None:
    first, second = make_run(home, out, State.FINISHED), make_run(home, out, State.FINISHED)
    claim(first, out)
    with reclaim_output(first):
        pass
    claim(second, out, take_over=True)
    with pytest.raises(WrongRequestError, match=r"belongs to the run demo\.2 by now"), reclaim_output(first):
        raise AssertionError("two runs would write to one folder")
    release_output(first)
    assert (out / OWNER).exists(), "not the first run's to release"
    release_output(second)
    with reclaim_output(first):
        pass
    assert json.loads((out / OWNER).read_bytes())["id"] == first.id


def test_owner_file_is_never_followed_out_of_the_folder(tmp_path: Path, home: Path, out: Path) -> None:
    out.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (out / OWNER).symlink_to(precious)
    with pytest.raises(WrongRequestError, match="cannot be written to"):
        claim(make_run(home, out, State.STARTING), out)
    assert precious.read_text() == "mine"


def test_folder_below_a_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    below = str(tmp_path / "file" / "out")
    with pytest.raises(WrongRequestError, match="cannot be created"), claim_output(below, take_over=False):
        raise AssertionError
