"""Two ranks train what one process would, and a run of several ranks that was stopped is the straight run, bit by bit."""

import os
import signal
from pathlib import Path

import pytest

from fttui_engine.runs.checkpoints import read_manifest
from ranked_runs import assert_divided, assert_same_training
from several_runs import numbers, weights


def tensors(run):
    from safetensors.torch import load_file

    return load_file(next(run.output_dir.glob("*.safetensors")))


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
    # No advice about settings that a user of ours does not have.
    assert "[transformers]" not in log
    assert [point["step"] for point in straight.metrics() if "loss" in point] == [3, 6, 9, 12, 14]
    assert numbers(broken) == numbers(straight)
    assert weights(broken) == weights(straight)


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
