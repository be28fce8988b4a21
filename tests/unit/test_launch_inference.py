"""Which model a person means by a run, a folder or a file."""

import json
from pathlib import Path
from typing import Any

import pytest

from fttui_engine.errors import WrongRequestError
from fttui_engine.launch.inference import find_target
from fttui_engine.runs.attempt import Request
from fttui_engine.runs.checkpoints import seal
from fttui_engine.runs.home import ensure_home
from fttui_engine.runs.journal import Journal
from fttui_engine.runs.run import Plan, Run, claim_run_folder, hidden_run_folder, new_run_folder
from fttui_engine.runs.states import State
from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import write_spec


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTTUI_HOME", str(tmp_path / "home"))
    ensure_home(tmp_path / "home")
    return tmp_path / "home"


def make_run(home: Path, state: State, *overrides: str) -> Run:
    draft = new_run_folder(hidden_run_folder(home))

    def finish(run: Run) -> None:
        draft.write_plan(Plan("demo", "train", ["x"], {}, "/", str(run.checkpoints_dir), None, 60.0))

    run = claim_run_folder("demo", draft.path, finish, home)
    words = ["model_name_or_path=demo:tiny", "dataset=demo:instructions", *overrides]
    write_spec(resolve(None, overrides=words), run.spec_path)
    run.attempt(1).create(Request("scratch"))
    Journal(run).move(state, str(state), "So it is.", attempt=1)
    return run


def put_adapter(folder: Path, step: int | None = None) -> Path:
    folder = folder if step is None else folder / f"checkpoint-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "demo:tiny"}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    if step is not None:
        seal(folder, step, 1, {})
    return folder


def test_a_run_under_way_is_used_as_of_its_newest_whole_checkpoint(home: Path) -> None:
    run = make_run(home, State.RUNNING)
    with pytest.raises(WrongRequestError, match="not saved anything yet"):
        find_target("demo")
    # A result from before the run was restarted does not count, nor does a checkpoint that is not sealed.
    put_adapter(run.checkpoints_dir)
    first, second = put_adapter(run.checkpoints_dir, 5), put_adapter(run.checkpoints_dir, 10)
    (put_adapter(run.checkpoints_dir, 15) / "manifest.json").unlink()
    assert find_target("dem").adapters == [str(second)]
    assert find_target("demo", step=5).adapters == [str(first)]
    Journal(run).move(State.FINISHED, "finished", "Done.")
    target = find_target("demo")
    assert target.adapters == [str(run.checkpoints_dir)]
    assert target.weights is None
    assert target.label == "demo (final result)"


def test_nobody_waits_for_a_checkpoint_of_a_run_that_has_ended(home: Path) -> None:
    make_run(home, State.FAILED)
    with pytest.raises(WrongRequestError, match="demo has saved nothing, and is failed") as caught:
        find_target("demo")
    assert caught.value.hint == "fttui show demo says why it ended"


def test_a_model_trained_in_full_stands_in_place_of_its_base(home: Path) -> None:
    run = make_run(home, State.FINISHED, "finetuning_type=full")
    run.checkpoints_dir.mkdir()
    (run.checkpoints_dir / "config.json").write_text("{}")
    target = find_target("demo")
    assert (target.adapters, target.weights) == ([], str(run.checkpoints_dir))
    assert target.values["model_name_or_path"] == "demo:tiny"


def test_settings_of_the_command_line_win_over_those_of_the_run(home: Path) -> None:
    run = make_run(home, State.FINISHED, "temperature=0.5", "top_k=7", "val_size=0.2")
    put_adapter(run.checkpoints_dir)
    values = find_target("demo", overrides=["temperature=0.1", "val_size=null"]).values
    assert (values["temperature"], values["top_k"]) == (0.1, 7)
    assert "val_size" not in values
    with pytest.raises(WrongRequestError, match="top_p"):
        find_target("demo", overrides=["top_p=2"])


def test_an_adapter_names_its_base_and_a_file_may_name_several(home: Path, tmp_path: Path) -> None:
    one, two = put_adapter(tmp_path / "one"), put_adapter(tmp_path / "two")
    target = find_target(str(one))
    assert (target.values["model_name_or_path"], target.adapters) == ("demo:tiny", [str(one)])
    (tmp_path / "x.yaml").write_text(
        f"model_name_or_path: demo:tiny\nadapter_name_or_path: {one},{two}\ntemplate: default\n"
        "infer_backend: huggingface\ntrust_remote_code: true\n"
    )
    target = find_target(str(tmp_path / "x.yaml"))
    assert target.adapters == [str(one), str(two)]
    (one / "adapter_config.json").write_text("{}")
    with pytest.raises(WrongRequestError, match="does not name its base"):
        find_target(str(one))


def test_secrets_of_a_run_stay_out_of_the_command_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fttui_engine.launch import inference

    run = make_run(home, State.FINISHED, "run.environment.HF_TOKEN=hf_abcdefgh")
    put_adapter(run.checkpoints_dir)
    called: dict[str, Any] = {}

    def execute(python: str, argv: list[str], environment: dict[str, str]) -> None:
        called.update(argv=argv, environment=environment)

    monkeypatch.setattr(inference.os, "execvpe", execute)
    inference.run_here("chat", find_target("demo"), {}, cpu=True)
    assert "hf_abcdefgh" not in json.dumps(called["argv"])
    assert called["environment"]["HF_TOKEN"] == "hf_abcdefgh"
    assert called["environment"]["CUDA_VISIBLE_DEVICES"] == ""
