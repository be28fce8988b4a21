"""The index of ended runs: it saves reading them, and never says what is not so."""

import json
import math
import shutil
from pathlib import Path

import pytest

from fttui_engine.runs import listing as listing_module
from fttui_engine.runs.attempt import SCRATCH, Progress, Request
from fttui_engine.runs.checkpoints import seal
from fttui_engine.runs.journal import ExitVerdict, Journal
from fttui_engine.runs.listing import Listing
from fttui_engine.runs.run import Plan, Run, all_runs, new_run_folder
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import summarize

NAMES = ("done", "broken", "lives")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    for name in NAMES:
        run = new_run_folder(tmp_path / "runs" / name)
        run.write_plan(Plan(name, "train", ["a", "b"], {}, "/", str(run.checkpoints_dir), [0, 1], 60.0))
        run.attempt(1).create(Request(SCRATCH))
        loss = math.nan if name == "broken" else 1.25
        run.attempt(1).write_progress(Progress("train", 40, 100, 0.5, loss))
        checkpoint = run.checkpoints_dir / "checkpoint-40"
        checkpoint.mkdir(parents=True)
        (checkpoint / "model.bin").write_bytes(b"x" * 10)
        seal(checkpoint, 40, 1, {})
        journal = Journal(run)
        journal.move(State.STARTING, "created", "Made.", attempt=1)
        journal.move(State.RUNNING, "started", "Runs.")
        if name != "lives":
            end(run, State.FINISHED if name == "done" else State.FAILED)
    return tmp_path


def end(run: Run, state: State) -> None:
    verdict = ExitVerdict("oom_cuda", 1, None, "No memory.", "Halve it.")
    Journal(run).move(state, str(state), "Over.", exit=verdict, ended_at=1e9)


def as_read_from_folders(home: Path) -> list[str]:
    return [json.dumps(summarize(run).to_json()) for run in all_runs(home)]


def as_listed(home: Path) -> list[str]:
    return [json.dumps(summary.to_json()) for summary in Listing(home).summaries()]


def test_ended_runs_are_read_once_and_stay_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = as_read_from_folders(home)
    assert as_listed(home) == expected
    read: list[str] = []
    monkeypatch.setattr(listing_module, "summarize", lambda run: read.append(run.id) or summarize(run))
    assert as_listed(home) == expected
    assert read == ["lives"]
    assert [run.id for run in Listing(home).unended()] == ["lives"]


def test_what_changes_is_read_again(home: Path) -> None:
    as_listed(home)
    done = Run(home / "runs" / "done")
    shutil.rmtree(done.checkpoints_dir / "checkpoint-40")
    assert as_listed(home) == as_read_from_folders(home)
    Journal(done).move(State.STARTING, "resumed", "Again.", attempt=1)
    assert {run.id for run in Listing(home).unended()} == {"done", "lives"}
    assert as_listed(home) == as_read_from_folders(home)
    end(Run(home / "runs" / "lives"), State.STOPPED)
    shutil.rmtree(home / "runs" / "broken")
    assert as_listed(home) == as_read_from_folders(home)
    assert [run.id for run in Listing(home).unended()] == ["done"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[1, 2]",
        lambda text: text.replace('"finished"', '"flying"'),
        lambda text: text.replace('"runs"', '"rums"'),
        lambda text: json.dumps({**json.loads(text), "runs": {"done": ["x", [1, 2, 3]]}}),
        lambda text: json.dumps({**json.loads(text), "runs": [1]}),
        lambda text: json.dumps({**json.loads(text), "form": ["0.0.1"]}),
    ],
)
def test_an_index_that_is_damaged_or_of_another_release_is_made_anew(home: Path, spoil) -> None:
    expected = as_listed(home)
    (index,) = (home / "cache").iterdir()
    good = index.read_text()
    index.write_text(spoil(good))
    assert as_listed(home) == expected
    assert json.loads(index.read_text()).keys() == json.loads(good).keys()


def test_without_a_place_for_the_index_the_runs_are_listed_all_the_same(home: Path) -> None:
    (home / "cache").write_text("in the way")
    assert as_listed(home) == as_read_from_folders(home)
    assert as_listed(home) == as_read_from_folders(home)
