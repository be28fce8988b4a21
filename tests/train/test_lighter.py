"""A run that shrank after out of memory learns what it would have learned."""

import json
import shutil

import pytest

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.lighter import lighter_settings, with_settings


def test_it_gets_lighter_until_nothing_is_left_and_the_batch_stays_the_same() -> None:
    config = TrainingConfig(
        model_name_or_path="m",
        dataset=("d",),
        per_device_train_batch_size=12,
        gradient_accumulation_steps=2,
        gradient_checkpointing=False,
    )
    sizes = []
    while lighter := lighter_settings(config):
        config = with_settings(config, lighter)
        sizes.append(config.per_device_train_batch_size)
        assert config.per_device_train_batch_size * config.gradient_accumulation_steps == 24
    assert sizes == [6, 3, 1, 1]
    assert config.gradient_checkpointing


def test_half_the_batch_twice_as_often_learns_the_same(worker, tiny_model, tmp_path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.0}))
    values = {
        "model_name_or_path": str(model),
        "max_steps": 8,
        "save_steps": 4,
        "max_samples": 24,
        "per_device_train_batch_size": 4,
        "learning_rate": 3e-3,
    }
    straight = worker("straight", **values)
    straight.finish()
    shrunk = worker("shrunk", **values)
    shutil.copytree(straight.output_dir / "checkpoint-4", shrunk.output_dir / "checkpoint-4")
    attempt = shrunk.start(
        shrunk.output_dir / "checkpoint-4",
        settings={
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 4,
            "gradient_checkpointing": True,
        },
    )
    assert shrunk.ended(attempt).result == "finished"
    assert "1 x 4" in attempt.log_path.read_text()
    after = {point["step"]: point["loss"] for point in shrunk.metrics()}
    expected = {point["step"]: point["loss"] for point in straight.metrics() if point["step"] > 4}
    assert after == pytest.approx(expected, abs=1e-5)
