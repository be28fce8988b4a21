"""What is said before a start about evaluation, trackers, metric functions and the use of a model."""

from pathlib import Path

import pytest

from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import Resolved

BASE = "model_name_or_path: demo:tiny\ndataset: demo:instructions\n"
EVALUATED = BASE + "val_size: 0.1\neval_strategy: steps\n"


def resolved_of(tmp_path: Path, text: str) -> Resolved:
    (tmp_path / "x.yaml").write_text(text)
    return resolve(Path("x.yaml"), cwd=tmp_path)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (BASE + "load_best_model_at_end: true\n", "load_best_model_at_end", "eval_strategy: steps"),
        (BASE + "early_stopping_steps: 3\n", "early_stopping_steps", "eval_strategy: steps"),
        (EVALUATED + "load_best_model_at_end: true\nsave_strategy: no\n", "load_best_model_at_end", "checkpoints"),
        (
            EVALUATED + "early_stopping_steps: 2\nmetric_for_best_model: accuracy\n",
            "metric_for_best_model",
            "compute_accuracy: true",
        ),
        (BASE + "report_to: mlflow\n", "report_to", "tensorboard, wandb, trackio"),
        (BASE + "report_to: trackio\n", "report_to", "pip install trackio"),
        (EVALUATED + "compute_metrics: score\n", "compute_metrics", "module.function"),
        (EVALUATED + "compute_metrics: no_such_module_of_mine.score\n", "compute_metrics", "neither installed"),
        (
            BASE + "eval_dataset: [a.jsonl, b.jsonl]\neval_on_each_dataset: true\neval_strategy: steps\n"
            "early_stopping_steps: 2\n",
            "early_stopping_steps",
            "a.jsonl_loss",
        ),
        (BASE + "do_predict: true\n", "do_predict", "val_size"),
        (EVALUATED + "do_predict: true\nstage: pt\n", "do_predict", "stage: pt"),
        (BASE + "do_train: false\n", "do_train", "fttui predict"),
        (BASE + "export_quantization_bit: 4\n", "export_quantization_bit", "later release"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said_with_what_to_do(text: str, key: str, words: str, tmp_path: Path) -> None:
    errors = {error.key: error.message for error in resolved_of(tmp_path, text).findings.errors}
    assert key in errors
    assert words in errors[key]


def test_a_metric_function_is_looked_for_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("print('run')\nraise SystemExit\ndef score(together):\n    return {}\n")
    assert resolved_of(tmp_path, EVALUATED + "compute_metrics: mine.score\n").ok
    assert resolved_of(tmp_path, EVALUATED + f"compute_metrics: {tmp_path}/mine.py:score\n").ok
    (error,) = resolved_of(tmp_path, EVALUATED + "compute_metrics: mine.scroe\n").findings.errors
    assert "did you mean score" in error.message


def test_the_best_is_measured_by_loss_unless_said_otherwise(tmp_path: Path) -> None:
    config = resolved_of(tmp_path, EVALUATED + "load_best_model_at_end: true\n").config
    assert config is not None
    assert (config.metric_for_best_model, config.greater_is_better) == ("loss", False)
    text = (
        EVALUATED + "early_stopping_steps: 2\ncompute_accuracy: true\nmetric_for_best_model: eval_accuracy\n"
    )
    config = resolved_of(tmp_path, text).config
    assert config is not None
    assert config.greater_is_better is True
    config = resolved_of(tmp_path, EVALUATED).config
    assert config is not None
    assert config.metric_for_best_model is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (EVALUATED + "greater_is_better: true\n", "greater_is_better"),
        (BASE + "compute_accuracy: true\n", "compute_accuracy"),
        (BASE + "project: p\n", "project"),
        (BASE + "predict_with_generate: true\n", "predict_with_generate"),
        (BASE + "export_dir: out\n", "export_dir"),
        (BASE + "run:\n  environment:\n    WANDB_API_KEY: abcdef\n", "run.environment"),
    ],
)
def test_what_has_no_effect_is_said(text: str, key: str, tmp_path: Path) -> None:
    warnings = {warning.key: warning.message for warning in resolved_of(tmp_path, text).findings.warnings}
    assert key in warnings
    assert "abcdef" not in warnings[key]
