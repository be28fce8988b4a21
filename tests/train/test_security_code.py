"""What comes with a model or a checkpoint is data, until its user has said otherwise."""

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import pytest

from fttui_engine.runs.checkpoints import read_manifest, seal
from fttui_engine.runs.trusted_code import code_in, trust
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError
from fttui_engine.train.models.load import find_model, load_tokenizer


class Evil:
    """A pickle that leaves a trace when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self):
        return (Path.touch, (self._trace,))


@pytest.fixture
def config(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingConfig:
    """The tiny model with code of its own, and a state folder in which nobody has agreed to anything."""
    monkeypatch.setenv("FTTUI_HOME", str(tmp_path / "state"))
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"auto_map": {"AutoConfig": "own.OwnConfig"}}))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')\n")
    base = TrainingConfig(model_name_or_path=str(folder), dataset=["demo:instructions"], output_dir="x")
    return dataclasses.replace(base, trust_remote_code=True)


def test_the_code_of_a_model_runs_only_once_it_was_agreed_to_and_only_that_version(
    config: TrainingConfig, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="nobody agreed") as refused:
        find_model(config)
    assert refused.value.hint.endswith(f"fttui trust {config.model_name_or_path}")
    assert not (tmp_path / "trace").exists()
    code = code_in(Path(config.model_name_or_path))
    assert code
    assert code.files == ("own.py",)
    trust(code)
    find_model(config)
    (Path(config.model_name_or_path) / "own.py").write_text("import os\n")
    with pytest.raises(ModelError, match="this version"):
        find_model(config)
    find_model(dataclasses.replace(config, trust_remote_code=False))


def test_a_model_without_code_asks_for_nothing(config: TrainingConfig, tiny_model: Path) -> None:
    find_model(dataclasses.replace(config, model_name_or_path=str(tiny_model)))


@pytest.mark.parametrize("name", ["optimizer.pt", "rng_state.pth"])
def test_a_pickle_in_a_checkpoint_is_refused_and_not_run(ranked, tmp_path: Path, name: str) -> None:
    run = ranked("run", max_steps=4, save_steps=2, logging_steps=1, eval_strategy="no", val_size=0)
    assert run.finish(ranks=1).result == "finished"
    checkpoint = run.checkpoints()[0].path
    manifest = read_manifest(checkpoint)
    trace = tmp_path / "trace"
    with (checkpoint / name).open("wb") as file:
        pickle.dump(Evil(trace), file, protocol=2)
    # By whoever can write there: the seal is no signature.
    seal(checkpoint, manifest.step, manifest.world_size, manifest.versions, manifest.extra)
    outcome = run.finish(resume_from=checkpoint, ranks=1)
    assert outcome.result == "failed"
    assert not trace.exists()


def test_a_tokenizer_brings_no_code_either(config: TrainingConfig, tmp_path: Path) -> None:
    load_tokenizer(find_model(dataclasses.replace(config, trust_remote_code=False)), lambda _: None)
    assert not (tmp_path / "trace").exists()
