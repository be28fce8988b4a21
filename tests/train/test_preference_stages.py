"""The stages rm, dpo and kto to their end: they learn what is preferred, and a resumed run is the straight one."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Worker
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError
from several_runs import numbers, prepare, run_all, weights

STEPS, SAVED = 14, 7
COMMON = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 4,
    # The window of the log is cut by the checkpoint, an epoch ends within an accumulated batch.
    "gradient_accumulation_steps": 2,
    "logging_steps": 3,
    "save_steps": SAVED,
    "eval_strategy": "steps",
    "eval_steps": 5,
    "val_size": 5,
    "learning_rate": 5e-3,
    "lora_dropout": 0.1,
    "gradient_checkpointing": True,
}
CASES: dict[str, dict[str, Any]] = {
    "rm lora": {"stage": "rm"},
    "rm full": {"stage": "rm", "finetuning_type": "full", "learning_rate": 2e-3},
    "dpo lora": {"stage": "dpo", "pref_bco_weight": 0.5, "pref_ftx": 0.1},
    "dpo full": {
        "stage": "dpo",
        "finetuning_type": "full",
        "pref_loss": "ipo",
        "learning_rate": 1e-3,
        # The reference has to know them too.
        "add_tokens": ["word3", "word4"],
    },
    "dpo orpo": {"stage": "dpo", "pref_loss": "orpo", "ld_alpha": 0.5, "bf16": True},
    "kto lora": {"stage": "kto", "pref_ftx": 0.1, "quantization_bit": 4},
    "kto full": {"stage": "kto", "finetuning_type": "full", "learning_rate": 2e-3},
}


def write_answers(folder: Path) -> dict[str, str]:
    """Write pairs and tagged answers: what is preferred is an answer in order, and not the same words reversed."""
    pairs, tagged = [], []
    for number in range(26):
        words = [f"word{number + step}" for step in range(3 + number % 4)]
        prompt, good, bad = f"Count from {number}.", " ".join(words), " ".join(reversed(words))
        pairs.append({"prompt": prompt, "chosen": good, "rejected": bad})
        tagged.append({"prompt": prompt, "completion": bad if number % 3 else good, "label": number % 3 == 0})
    files = {"pairs": pairs, "tagged": tagged}
    for name, records in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return {name: str(folder / f"{name}.jsonl") for name in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, home: Path) -> dict[str, tuple[Worker, Worker]]:
    """Return of each case a straight run, and one that began at its checkpoint."""
    folder = tmp_path_factory.mktemp("stages")
    data = write_answers(folder)

    def make(name: str, kind: str) -> Worker:
        values = COMMON | {"dataset": [data["tagged" if CASES[name]["stage"] == "kto" else "pairs"]]}
        return Worker(folder / f"{name} {kind}", home, values | CASES[name])

    straight = {name: make(name, "straight") for name in CASES}
    for run in straight.values():
        prepare(run)
    run_all(list(straight.values()), home)
    resumed = {name: make(name, "resumed") for name in CASES}
    for name, run in resumed.items():
        prepare(run, straight[name].output_dir / f"checkpoint-{SAVED}")
    run_all(list(resumed.values()), home)
    return {name: (straight[name], resumed[name]) for name in CASES}


@pytest.mark.parametrize("name", list(CASES))
def test_a_resumed_run_equals_the_straight_one(finished: dict[str, tuple[Worker, Worker]], name: str) -> None:
    straight, resumed = finished[name]
    expected = [point for point in numbers(straight) if point["step"] > SAVED]
    assert [point["step"] for point in expected] == [9, 10, 12, 14, 14]
    assert numbers(resumed) == expected
    assert weights(resumed) == weights(straight)
    assert ("value_head.safetensors" in weights(straight)) is name.startswith("rm")


@pytest.mark.parametrize(
    ("name", "measures"),
    [
        ("rm lora", {"accuracy", "rewards/chosen", "rewards/rejected", "rewards/margins"}),
        ("dpo lora", {"rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected"}),
        ("dpo orpo", {"sft_loss", "odds_ratio_loss", "rewards/margins"}),
        ("kto lora", {"kl", "rewards/chosen", "rewards/rejected", "rewards/margins"}),
    ],
)
def test_measures_are_in_the_metrics_and_in_the_log(
    finished: dict[str, tuple[Worker, Worker]], name: str, measures: set[str]
) -> None:
    straight, _ = finished[name]
    points = straight.metrics()
    assert measures <= set(points[0])
    evaluated = next(point for point in points if "eval_loss" in point)
    assert {f"eval_{measure}" for measure in measures} <= set(evaluated)
    log = straight.run.attempt(1).log_path.read_text()
    assert all(f" {measure} " in log and f" eval_{measure} " in log for measure in measures)


@pytest.mark.parametrize("name", ["rm full", "dpo lora", "dpo full", "kto full"])
def test_what_is_preferred_is_learned(finished: dict[str, tuple[Worker, Worker]], name: str) -> None:
    straight, _ = finished[name]
    margins = [point["rewards/margins"] for point in straight.metrics() if "rewards/margins" in point]
    losses = [point["loss"] for point in straight.metrics() if "loss" in point]
    assert margins[-1] > margins[0] + 0.1
    assert losses[-1] < losses[0]


def test_training_starts_from_the_reference(finished: dict[str, tuple[Worker, Worker]]) -> None:
    """At the first step nothing has been learned, so that no answer is further from the reference than another."""
    straight, _ = finished["dpo full"]
    # ipo: (0 - 1 / (2 * 0.1)) ** 2, while the log has the mean of three steps.
    assert straight.metrics()[0]["loss"] == pytest.approx(25, rel=0.2)


@pytest.mark.parametrize("name", ["rm lora", "rm full"])
def test_a_reward_model_scores_answers_by_their_last_token(
    finished: dict[str, tuple[Worker, Worker]], tokenizer: Any, tiny_model: Path, name: str
) -> None:
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    from fttui_engine.train.models.frozen import load_reward_model

    straight, _ = finished[name]
    folder = str(straight.output_dir)
    config = TrainingConfig(model_name_or_path="demo:tiny", dataset=("d",))
    batch = tokenizer(["Count from 3. word3", "Count from 3."], padding=True, return_tensors="pt")
    assert batch["attention_mask"].sum(-1).tolist() != [batch["input_ids"].shape[1]] * 2
    scores = load_reward_model(config, folder).scores(batch["input_ids"], batch["attention_mask"])

    base = folder if name == "rm full" else str(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(base)
    model = model if name == "rm full" else PeftModel.from_pretrained(model, folder)
    head = load_file(f"{folder}/value_head.safetensors")
    with torch.no_grad():
        hidden = model(**batch, output_hidden_states=True).hidden_states[-1]
    for row, tokens in enumerate(batch["attention_mask"].sum(-1).tolist()):
        expected = hidden[row, tokens - 1] @ head["v_head.summary.weight"][0] + head["v_head.summary.bias"][0]
        assert float(scores[row]) == pytest.approx(float(expected), abs=1e-5)


def test_a_model_without_a_value_head_is_no_reward_model(finished: dict[str, tuple[Worker, Worker]]) -> None:
    from fttui_engine.train.models.frozen import load_reward_model

    straight, _ = finished["dpo full"]
    config = TrainingConfig(model_name_or_path="demo:tiny", dataset=("d",))
    with pytest.raises(ModelError, match="is no reward model"):
        load_reward_model(config, str(straight.output_dir))


def test_a_model_of_its_own_may_be_the_reference(tiny_model: Path) -> None:
    import torch

    from fttui_engine.train.models.frozen import reference_for
    from fttui_engine.train.models.load import find_model, load_model

    config = TrainingConfig(model_name_or_path="demo:tiny", dataset=("d",), finetuning_type="full", bf16=True)
    model = load_model(config, find_model(config))
    copied = reference_for(model, config)
    named = reference_for(model, dataclasses.replace(config, ref_model="demo:tiny"))
    for (name, weight), other in zip(copied.named_parameters(), named.parameters(), strict=True):
        assert not weight.requires_grad
        assert not other.requires_grad
        # Trained weights are in float32, those of the reference in the precision that is computed in.
        assert weight.dtype == other.dtype == torch.bfloat16
        assert torch.equal(weight, other), name
    assert all(weight.requires_grad and weight.dtype == torch.float32 for weight in model.parameters())
    with pytest.raises(ModelError, match="there is no model"):
        reference_for(model, dataclasses.replace(config, ref_model="/nowhere"))
