"""Two ranks train what one process would, and a run of several ranks that was stopped is the straight run, bit by bit."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from fttui_engine.runs.checkpoints import read_manifest
from fttui_engine.train.demo import demo_instructions_path
from ranked_runs import RankedRun, Server
from several_runs import numbers, weights

COMMON = {
    "max_steps": 14,
    "save_steps": 5,
    "logging_steps": 3,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    # 39 examples are 4 steps of 8 and one of 7, in which one rank has a batch that is not full.
    "max_samples": 44,
    "val_size": 5,
    "eval_strategy": "steps",
    "eval_steps": 4,
    "per_device_eval_batch_size": 2,
    "learning_rate": 3e-3,
    "lr_scheduler_type": "cosine",
    "run": {"processes": 2},
}


@pytest.fixture(scope="module")
def ranked(home, tiny_model, tmp_path_factory):
    """Makes runs; all of their ranks come from one server."""
    folder = tmp_path_factory.mktemp("ranks")
    runs = []
    RankedRun.server = Server()

    def make(name, **values):
        runs.append(RankedRun(folder / name, home, COMMON | values))
        return runs[-1]

    yield make
    for run in runs:
        run.close()
    RankedRun.server.close()


@pytest.fixture(scope="module")
def without_dropout(tiny_model, tmp_path_factory):
    """The tiny model without dropout: what it learns does not depend on how the batch is shared."""
    folder = tmp_path_factory.mktemp("model") / "plain"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.0}))
    return str(folder)


def tensors(run):
    from safetensors.torch import load_file

    return load_file(next(run.output_dir.glob("*.safetensors")))


def assert_same_training(one, other, counts=("step", "epoch", "tokens"), tolerance=1e-6):
    """The same steps, the same tokens, and losses that differ by rounding only."""
    first, second = one.metrics(), other.metrics()
    assert [[point.get(name) for name in counts] for point in first] == [
        [point.get(name) for name in counts] for point in second
    ]
    for point, its_twin in zip(first, second, strict=True):
        for name, allowed in (("loss", tolerance), ("eval_loss", tolerance), ("grad_norm", 1e-4)):
            if name in its_twin:
                assert point[name] == pytest.approx(its_twin[name], rel=allowed), (name, point, its_twin)


def assert_same_measures(one, other):
    """The same rewards, log-probabilities and drift, but for rounding."""
    for point, its_twin in zip(numbers(one), numbers(other), strict=True):
        assert set(point) == set(its_twin)
        for name in point:
            if "/" in name or name.endswith("kl"):
                expected = pytest.approx(its_twin[name], rel=1e-4, abs=1e-4)
                assert point[name] == expected, (name, point, its_twin)
    assert any(abs(point.get("kl", point.get("rewards/margins", 0.0))) > 0.1 for point in numbers(one))


CELLS = {
    "ddp-lora": {"lora_dropout": 0.1},
    "ddp-full": {"finetuning_type": "full", "dataloader_num_workers": 1},
    "fsdp-full": {"finetuning_type": "full", "run": {"processes": 2, "strategy": "fsdp"}},
    "fsdp-lora": {"lora_dropout": 0.1, "fsdp": "shard_grad_op", "gradient_checkpointing": True},
    "fsdp-qlora": {
        "lora_dropout": 0.1,
        "quantization_bit": 4,
        "bf16": True,
        "run": {"processes": 2, "strategy": "fsdp"},
    },
}


@pytest.mark.parametrize("cell", CELLS)
def test_two_ranks_stopped_and_resumed_equal_a_straight_run(ranked, cell):
    straight, broken = ranked(f"{cell}-straight", **CELLS[cell]), ranked(f"{cell}-broken", **CELLS[cell])
    first = broken.start()
    broken.reach(6)
    # Any rank may be the one that hears of it; from the launcher it reaches all, but not their data loaders.
    os.kill(broken.pid if cell == "ddp-full" else broken.rank_pids()[1], signal.SIGTERM)
    stopped = broken.ended(first)
    assert stopped.result == "stopped"
    assert 6 <= stopped.step < 14
    newest = broken.checkpoints()[-1]
    assert (newest.step, read_manifest(newest.path).world_size) == (stopped.step, 2)
    assert broken.finish(newest.path).result == "finished"

    assert straight.finish().result == "finished"
    if cell.startswith("fsdp"):
        assert_divided(straight)
    log = straight.run.attempt(1).log_path.read_text()
    assert f"2 processes share the work by {cell.partition('-')[0]}" in log
    assert "8 per step (2 x 2 x 2 processes)" in log
    assert [point["step"] for point in straight.metrics() if "loss" in point] == [3, 6, 9, 12, 14]
    assert numbers(broken) == numbers(straight)
    assert weights(broken) == weights(straight)


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
    if cell in ("dpo-baseline", "kto", "kto-fsdp"):
        # What is measured over a batch (the baseline, drift), two ranks measure over the batches of both.
        twice = {"per_device_train_batch_size": 4, "per_device_eval_batch_size": 4, "run": {"processes": 1}}
        alone = ranked(f"{cell}-alone", **values | twice)
        assert alone.finish(ranks=1).result == "finished"
        assert_same_training(straight, alone)
        assert_same_measures(straight, alone)


def assert_divided(run):
    """Each of two ranks holds half of the weights; accelerate would keep them whole on a CPU, with the same losses."""
    assert "fsdp: this process holds 50% of the weights" in run.run.attempt(1).log_path.read_text()


def assert_writes_its_result_again(run):
    """All steps were done, and only the end of the last attempt was cut off."""
    (result,) = run.output_dir.glob("*.safetensors")
    before = result.read_bytes()
    result.unlink()
    assert run.finish(run.checkpoints()[-1].path).result == "finished"
    assert result.read_bytes() == before


@pytest.mark.parametrize(
    ("strategy", "kind"),
    [
        ("ddp", {}),
        ("fsdp", {"finetuning_type": "full", "learning_rate": 5e-4}),
        ("fsdp", {"quantization_bit": 4}),
        ("fsdp", {"finetuning_type": "full", "learning_rate": 5e-4, "packing": True, "chunked_loss": "true"}),
    ],
    ids=["ddp", "fsdp", "fsdp-qlora", "fsdp-packed-chunked"],
)
def test_any_number_of_ranks_trains_and_goes_on_as_one_process(ranked, without_dropout, strategy, kind):
    values = {"model_name_or_path": without_dropout, "run": {"processes": 2, "strategy": strategy}} | kind
    name = f"{strategy}-{'-'.join(kind) or 'lora'}"
    alone = ranked(f"{name}-alone", **values)
    assert alone.finish(ranks=1).result == "finished"
    assert "8 per step (2 x 4)" in alone.run.attempt(1).log_path.read_text()

    more = alone.copy(f"{name}-more")
    assert more.finish(more.output_dir / "checkpoint-5").result == "finished"
    assert_same_training(more, alone)

    together = ranked(f"{name}-together", **values)
    first = together.start()
    together.reach(6)
    first.request_stop()
    stopped = together.ended(first)
    assert stopped.result == "stopped"
    newest = together.checkpoints()[-1].path
    fewer = together.copy(f"{name}-fewer")
    assert fewer.finish(fewer.output_dir / newest.name, ranks=1).result == "finished"
    assert_same_training(fewer, alone)
    assert together.finish(newest).result == "finished"
    assert_same_training(together, alone)
    if strategy == "fsdp":
        assert_divided(together)
        assert_writes_its_result_again(together)
    expected = tensors(alone)
    for name, found in tensors(together).items():
        assert found.shape == expected[name].shape
        assert (found - expected[name]).abs().max() < 1e-5, name
    assert set(tensors(together)) == set(expected)


def test_the_rank_that_failed_first_is_named(ranked):
    run = ranked(
        "failing", max_steps=100000, save_steps=100000, logging_steps=1, eval_strategy="no", val_size=0
    )
    attempt = run.start()
    run.reach(2)
    # Progress is written a few times a second, later than the metrics.
    run.wait_for(lambda: attempt.read_progress().step >= 2, "progress of step 2")
    pids = run.rank_pids()
    os.kill(pids[0], signal.SIGKILL)
    outcome = run.ended(attempt)
    assert (outcome.result, outcome.kind) == ("failed", "signal")
    assert "Rank 0 of 2" in outcome.message
    assert "SIGKILL" in outcome.message
    assert outcome.step >= 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    # What rank 1 says of its lost peer is in the log, marked as its own, and is not taken for the cause.
    assert "[rank1]: Traceback" in attempt.log_path.read_text()


def test_a_mistake_that_every_rank_makes_is_told_once(ranked):
    run = ranked("mistaken", lora_target=["no_such_layer"])
    outcome = run.finish()
    assert (outcome.result, outcome.kind) == ("failed", "model")
    assert "no_such_layer" in outcome.message
    assert outcome.advice
