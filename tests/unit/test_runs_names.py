"""Names, finding runs, claiming their folders, and the privacy of the state folder."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fttui_engine
from fttui_engine.errors import NoSuchRunError, WrongRequestError
from fttui_engine.runs.home import ensure_home, state_home
from fttui_engine.runs.run import (
    STALE_SECONDS,
    Plan,
    Run,
    all_runs,
    check_name,
    claim_run_folder,
    delete_run_folder,
    delete_stale_folders,
    find_run,
    hidden_run_folder,
    new_run_folder,
)

PLAN = Plan("demo", "command", ["true"], {}, "/", "", None, 60.0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "state"
    ensure_home(home)
    return home


def create(home: Path, name: str) -> Run:
    draft = new_run_folder(hidden_run_folder(home))
    return claim_run_folder(name, draft.path, lambda run: draft.write_plan(PLAN._replace(name=name)), home)


@pytest.mark.parametrize(
    "name",
    ["../../x", "-rf", "", ".", "..", "a/b", "a\n", "\n", "a b", "a\x00", "x" * 65, "y" * 300, "caf\u00e9", "\u0663",
     ".hidden", "_x", "a;b", "$(x)", "a'b", "~", "*"],
)  # fmt: skip
def test_name_that_could_do_harm_is_refused(name: str) -> None:
    with pytest.raises(WrongRequestError) as caught:
        check_name(name)
    assert len(caught.value.message) < 200
    assert "letters, digits" in caught.value.hint


@pytest.mark.parametrize("name", ["a", "7", "demo.2", "A-b_c.d", "x" * 64, "con"])
def test_ordinary_name_is_taken(name: str) -> None:
    assert check_name(name) == name


def test_second_run_of_a_name_gets_a_number(home: Path) -> None:
    assert [create(home, "demo").id for _ in range(3)] == ["demo", "demo.2", "demo.3"]
    assert [run.id for run in all_runs(home)] == ["demo", "demo.2", "demo.3"]


def test_runs_of_the_longest_name_are_all_found(home: Path) -> None:
    name = "n" * 64
    runs = [create(home, name) for _ in range(3)]
    assert [run.id for run in all_runs(home)] == [run.id for run in runs]
    assert [find_run(run.id, home).id for run in runs] == [run.id for run in runs]


def test_run_is_found_by_its_beginning_if_that_says_which(home: Path) -> None:
    for name in ("alpha", "alpine", "beta"):
        create(home, name)
    assert find_run("b", home).id == "beta"
    assert find_run("alpha", home).id == "alpha"
    with pytest.raises(WrongRequestError, match="several") as caught:
        find_run("alp", home)
    assert "alpha, alpine" in caught.value.hint


def test_whole_id_wins_over_longer_ones(home: Path) -> None:
    create(home, "demo")
    create(home, "demo")
    assert find_run("demo", home).id == "demo"


@pytest.mark.parametrize("reference", ["", "../runs/demo", "demo/", "/", "demo\n", "\x00", "z" * 5000, "-h"])
def test_reference_that_is_none_finds_nothing(home: Path, reference: str) -> None:
    create(home, "demo")
    with pytest.raises(NoSuchRunError):
        find_run(reference, home)


def test_nearest_run_is_named(home: Path) -> None:
    create(home, "single-gpu")
    with pytest.raises(NoSuchRunError) as caught:
        find_run("sinlge-gpu", home)
    assert caught.value.hint == "did you mean single-gpu?"


def test_half_made_and_foreign_folders_are_no_runs(home: Path) -> None:
    new_run_folder(hidden_run_folder(home))
    (home / "runs" / "no-plan").mkdir()
    (home / "runs" / "file").write_text("")
    (home / "runs" / "white space").mkdir()
    assert all_runs(home) == []
    assert all_runs(home / "nowhere") == []


def test_deleted_run_is_gone(home: Path) -> None:
    run = create(home, "demo")
    delete_run_folder(run)
    assert os.listdir(home / "runs") == []


def test_only_old_litter_is_cleared_away(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(home, "demo")
    young = new_run_folder(hidden_run_folder(home)).path
    (home / "runs" / ".deleted-x").mkdir()
    delete_stale_folders(home)
    assert young.exists()
    now = time.time()
    monkeypatch.setattr("fttui_engine.runs.run.time.time", lambda: now + STALE_SECONDS + 1)
    delete_stale_folders(home)
    assert os.listdir(home / "runs") == [run.id]


CLAIM = """
import sys
from pathlib import Path
from fttui_engine.runs.run import Plan, Run, claim_run_folder, hidden_run_folder, new_run_folder
home = Path(sys.argv[1])
for _ in range(40):
    draft = new_run_folder(hidden_run_folder(home))
    plan = Plan("demo", "command", [draft.path.name], {}, "/", "", None, 60.0)
    print(claim_run_folder("demo", draft.path, lambda run: draft.write_plan(plan), home).id, draft.path.name)
"""


def test_claims_at_once_never_share_a_folder(home: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(fttui_engine.__file__).parents[1])}
    claimants = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, home], stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(3)
    ]
    claims = [line.split() for claimant in claimants for line in claimant.communicate()[0].splitlines()]
    assert len(claims) == 120
    assert len({run_id for run_id, _ in claims}) == 120
    for run_id, draft in claims:
        assert Run(home / "runs" / run_id).read_plan().argv == [draft]


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_state_folder_is_private_under_any_umask(tmp_path: Path, mask: int) -> None:
    home = tmp_path / "deep" / "state"
    before = os.umask(mask)
    try:
        ensure_home(home)
        run = create(home, "demo")
        run.attempt(1).path.mkdir(mode=0o700)
    finally:
        os.umask(before)
    for path in [home, *home.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_own_folder_is_tightened_and_a_shared_one_left_alone(tmp_path: Path) -> None:
    own, shared = tmp_path / "own", tmp_path / "shared"
    own.mkdir()
    own.chmod(0o755)
    shared.mkdir()
    shared.chmod(0o1777)
    ensure_home(own)
    ensure_home(shared)
    assert own.stat().st_mode & 0o7777 == 0o700
    assert shared.stat().st_mode & 0o7777 == 0o1777
    assert (shared / "runs").stat().st_mode & 0o777 == 0o700


def test_state_folder_that_is_a_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(WrongRequestError, match="cannot be used"):
            ensure_home(home)


def test_state_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("FTTUI_HOME", raising=False)
    assert state_home() == tmp_path / "xdg" / "fttui"
    monkeypatch.setenv("FTTUI_HOME", "~/x/../y")
    monkeypatch.setenv("HOME", "/home/me")
    assert state_home() == Path("/home/me/y")
