"""The examples that fill up the last batches of an epoch on several ranks: nothing is learned or measured of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fttui_engine.runs.attempt import Request
from fttui_engine.runs.run import Run
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.loop.checkpoints import CheckpointFolder
from fttui_engine.train.loop.reporter import Reporter
from fttui_engine.train.loop.stop import StopFlag
from fttui_engine.train.ranks.group import Ranks
from fttui_engine.train.recipe import Worker, build_trainer, prepare
from fttui_engine.train.stages import stage_of

CASES: dict[str, dict[str, Any]] = {
    "dpo with a baseline": {"stage": "dpo", "pref_bco_weight": 0.5, "pref_ftx": 0.1},
    "dpo against the drift of a batch": {"stage": "dpo", "pref_loss": "kto_pair"},
    "dpo by odds": {"stage": "dpo", "pref_loss": "orpo"},
    "kto with the loss of sft": {"stage": "kto", "pref_ftx": 0.5},
    "rm": {"stage": "rm"},
}
REAL, ROWS = 2, 4


def make_trainer(folder: Path, **values: Any) -> Any:
    """Return the Trainer of a stage as the worker makes it, whose model has left its reference."""
    records = [
        {"prompt": f"Say word{number}.", "chosen": f"word{number} word1", "rejected": "word2 " * (number + 2)}
        for number in range(ROWS)
    ]
    if values["stage"] == "kto":
        # Good and bad answers among the real ones and among the fillers.
        records = [
            {"prompt": each["prompt"], "completion": each["chosen"], "label": number % 2 == 0}
            for number, each in enumerate(records)
        ]
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(record) + "\n" for record in records))
    config = TrainingConfig(
        model_name_or_path="demo:tiny",
        dataset=(str(data),),
        output_dir=str(folder / "checkpoints"),
        use_cpu=True,
        gradient_checkpointing=False,
        **values,
    )
    attempt = Run(folder).attempt(1)
    attempt.create(Request("scratch"))
    worker = Worker(Reporter(Run(folder), attempt), StopFlag(attempt), Ranks())
    stage = stage_of(config)
    checkpoints = CheckpointFolder(
        folder, {}, save_total_limit=None, resumed_from=None, expected_bytes=0, ranks=worker.ranks
    )
    prepared = prepare(config, stage, worker)
    trainer = build_trainer(config, stage, prepared, resume=None, checkpoints=checkpoints, **worker._asdict())
    torch.manual_seed(1)
    for weight in trained_of(trainer):
        weight.data += 0.1 * torch.randn_like(weight)
    # The dropout of a value head draws as many numbers as there are rows.
    trainer.model.train(config.stage != "rm")
    return trainer


def trained_of(trainer: Any) -> list[Any]:
    return [weight for weight in trainer.model.parameters() if weight.requires_grad]


def what_follows(trainer: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return loss and gradients of a batch, and what the stage remembers of it."""
    before = trainer._stage_state()
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    gradients = [weight.grad.flatten() for weight in trained_of(trainer)]
    remembered = trainer._stage_state()
    trainer._restore_stage(before)
    trainer._measures.take(trainer.ranks)
    return torch.cat([loss.detach().view(1), *gradients]), remembered


@pytest.mark.parametrize("case", CASES)
def test_a_batch_with_fillers_is_the_batch_without_them(tmp_path: Path, home: Path, case: str) -> None:
    trainer = make_trainer(tmp_path, **CASES[case])
    batch = trainer.data_collator([trainer.train_dataset[number] for number in range(ROWS)])
    alone, expected = what_follows(trainer, {name: value[:REAL].clone() for name, value in batch.items()})
    whole, _ = what_follows(trainer, {name: value.clone() for name, value in batch.items()})
    trainer.silence(batch, REAL)
    filled, found = what_follows(trainer, batch)
    assert alone.isfinite().all()
    # They would change something if they were real.
    assert not torch.allclose(whole, alone, rtol=1e-3)
    assert torch.allclose(filled, alone, rtol=1e-4, atol=1e-6)
    assert found["measures"].keys() == expected["measures"].keys()
    for name, sums in expected["measures"].items():
        assert found["measures"][name] == pytest.approx(sums, rel=1e-4, abs=1e-5), name
    if case == "dpo with a baseline":
        assert found["baseline"] == pytest.approx(expected["baseline"], rel=1e-4)
        assert abs(expected["baseline"][0]) > 1e-3
