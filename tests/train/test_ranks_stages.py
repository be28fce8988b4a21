"""Every stage in several ranks: killed and resumed it is the straight run, and learns what one process would."""

import json
import os
import signal

import pytest

from fttui_engine.runs.checkpoints import read_manifest
from fttui_engine.train.demo import demo_instructions_path
from ranked_runs import assert_divided, assert_same_measures, assert_same_training
from several_runs import numbers, weights

FULL_FSDP = {
    "finetuning_type": "full",
    "learning_rate": 5e-4,
    "run": {"processes": 2, "strategy": "fsdp"},
}
STAGES = {
    "pt": {"packing": True, "cutoff_len": 32, "lora_dropout": 0.1, "max_samples": 1000},
    "rm": {"lora_dropout": 0.1},
    "rm-fsdp": FULL_FSDP,
    # 37 examples, so that one rank has nothing in the last batch of an epoch.
    "dpo": {"max_samples": 42},
    "dpo-orpo": {"pref_loss": "orpo", "max_samples": 42, "learning_rate": 1e-3},
    # 40 examples, so that no batch is smaller than another; of an evaluation's 5, one rank has one more.
    "dpo-baseline": {"pref_bco_weight": 0.5, "pref_ftx": 0.1, "max_samples": 45},
    "dpo-fsdp": FULL_FSDP | {"max_samples": 42, "gradient_checkpointing": True},
    "kto": {"max_samples": 45},
    "kto-fsdp": {"max_samples": 45, "fsdp": "full_shard"},
}


@pytest.fixture(scope="module")
def stage_data(tmp_path_factory):
    """What each stage learns from: texts, pairs of answers, tagged answers."""
    folder = tmp_path_factory.mktemp("data")
    examples = [json.loads(line) for line in demo_instructions_path().read_text().splitlines()][:46]
    pairs, tagged = [], []
    for number, example in enumerate(examples[:45]):
        prompt, good, bad = example["instruction"], example["output"], examples[number + 1]["output"]
        pairs.append({"prompt": prompt, "chosen": good, "rejected": bad})
        tagged.append({"prompt": prompt, "completion": bad if number % 3 else good, "label": number % 3 == 0})
    texts = [{"text": example["output"]} for example in examples]
    files = {"pt": texts, "rm": pairs, "dpo": pairs, "kto": tagged}
    for stage, records in files.items():
        (folder / f"{stage}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return {stage: [str(folder / f"{stage}.jsonl")] for stage in files}


@pytest.mark.parametrize("cell", STAGES)
def test_two_ranks_killed_in_any_stage_and_resumed_equal_a_straight_run(
    ranked, without_dropout, stage_data, cell
):
    """The checkpoint of step 5 or 10 cuts a logging window, of whose measures every rank has a part."""
    stage = cell.partition("-")[0]
    model = {"model_name_or_path": without_dropout} if stage in ("dpo", "kto") else {}
    values = {"stage": stage, "dataset": stage_data[stage]} | model | STAGES[cell]
    straight, broken = ranked(f"{cell}-straight", **values), ranked(f"{cell}-broken", **values)
    broken.start()
    broken.reach(6)
    os.kill(broken.rank_pids()[1], signal.SIGKILL)
    assert broken.wait() == 1
    newest = broken.checkpoints()[-1]
    assert read_manifest(newest.path).world_size == 2
    assert broken.finish(newest.path).result == "finished"
    assert {point["attempt"] for point in broken.metrics()} == {1, 2}

    assert straight.finish().result == "finished"
    assert numbers(broken) == numbers(straight)
    assert weights(broken) == weights(straight)
    assert ("value_head.safetensors" in weights(straight)) is (stage == "rm")
    if cell.endswith("-fsdp"):
        assert_divided(straight)
    if cell == "rm-fsdp":
        # One process draws other numbers for the dropout in front of the value head.
        whole = ranked(f"{cell}-whole", **values | {"run": {"processes": 2, "strategy": "ddp"}})
        assert whole.finish().result == "finished"
        assert_same_training(straight, whole, tolerance=1e-5)
    if cell in ("dpo", "dpo-orpo", "dpo-fsdp"):
        alone = straight.copy(f"{cell}-alone")
        assert alone.finish(alone.output_dir / "checkpoint-5", ranks=1).result == "finished"
        # Two ranks count the last batch of an epoch, which one of them has not, as read by both.
        tolerance = 1e-5 if cell == "dpo-fsdp" else 1e-6
        assert_same_training(alone, straight, ("step", "tokens"), tolerance)
    if cell in ("dpo-baseline", "kto-fsdp"):
        # What is measured over a batch (the baseline, drift), two ranks measure over the batches of both.
        twice = {"per_device_train_batch_size": 4, "per_device_eval_batch_size": 4, "run": {"processes": 1}}
        alone = ranked(f"{cell}-alone", **values | twice)
        assert alone.finish(ranks=1).result == "finished"
        assert_same_training(straight, alone)
        assert_same_measures(straight, alone)


@pytest.fixture(scope="module")
def reward_adapter(without_dropout, tmp_path_factory):
    """A reward model that is an adapter on the tiny model; it likes what chance has made it like."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from fttui_engine.train.models.value_head import ValueHead, save_value_head

    folder = tmp_path_factory.mktemp("reward")
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(without_dropout)
    adapter = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(base, adapter).save_pretrained(folder)
    save_value_head(ValueHead(base.config.hidden_size), str(folder))
    return str(folder)


def test_two_ranks_learn_from_their_answers_what_one_process_would(ranked, without_dropout, reward_adapter):
    """Without chance, and row by row, all that two ranks share of ppo is theirs: scales, price, advantages."""
    values = {
        "stage": "ppo",
        "model_name_or_path": without_dropout,
        "reward_model": reward_adapter,
        "val_size": 0,
        "eval_strategy": "no",
        "per_device_train_batch_size": 1,
        "max_steps": 5,
        "save_steps": 3,
        "logging_steps": 2,
        "learning_rate": 1e-3,
        "max_new_tokens": 6,
        "ppo_score_norm": True,
        "ppo_whiten_rewards": True,
        "ppo_epochs": 2,
        "ppo_target": 0.1,
    }
    together = ranked("greedy", **values, do_sample=False)
    assert together.finish().result == "finished"
    alone = ranked("alone", **values, do_sample=False)
    assert alone.finish(ranks=1).result == "finished"
    for one, other in zip(numbers(alone), numbers(together), strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-4)
    last = numbers(together)[-1]
    assert (last["kl"] > 0.01, last["kl_coefficient"] != 0.2) == (True, True)

    # Drawn by chance, the answers of both ranks are the same after a resume.
    straight = ranked("drawn", **values)
    assert straight.finish().result == "finished"
    resumed = straight.copy("resumed")
    assert resumed.finish(resumed.output_dir / "checkpoint-3").result == "finished"
    assert numbers(resumed)[-2:] == numbers(straight)[-2:]
    assert weights(resumed) == weights(straight)


def test_three_ranks_divide_what_three_does_not_divide(ranked, without_dropout):
    """No size of the tiny model is a multiple of 3, and the last step of an epoch has examples for two ranks only."""
    values = {
        "model_name_or_path": without_dropout,
        "finetuning_type": "full",
        "learning_rate": 5e-4,
        "max_steps": 6,
        "save_steps": 3,
        "logging_steps": 2,
        "gradient_accumulation_steps": 1,
        "run": {"processes": 3, "strategy": "fsdp"},
    }
    together = ranked("three", **values)
    assert together.finish(ranks=3).result == "finished"
    assert "this process holds 34% of the weights" in together.run.attempt(1).log_path.read_text()
    alone = together.copy("one")
    assert alone.finish(alone.output_dir / "checkpoint-3", ranks=1).result == "finished"
    assert_same_training(alone, together, ("step", "tokens"), tolerance=1e-5)
    assert read_manifest(together.checkpoints()[-1].path).world_size == 3
