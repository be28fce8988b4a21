"""Two ranks whose training DeepSpeed divides learn what one process would, and resume bit by bit."""

import json
from itertools import pairwise

import pytest

from fttui_engine.runs.checkpoints import read_manifest
from fttui_engine.train.demo import demo_instructions_path
from ranked_runs import assert_same_training
from several_runs import numbers, weights

pytest.importorskip("deepspeed", reason="DeepSpeed is not installed: pip install deepspeed")

# As LLaMA-Factory's examples/deepspeed have them.
AUTO = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "zero_allow_untested_optimizer": True,
    "fp16": {"enabled": "auto", "loss_scale": 0},
    "bf16": {"enabled": "auto"},
}
FULL = {"finetuning_type": "full", "learning_rate": 5e-4}
CELLS = {
    "zero2-dpo-lora": (
        AUTO | {"zero_optimization": {"stage": 2, "overlap_comm": False, "reduce_bucket_size": 5e8}},
        {"stage": "dpo", "max_samples": 45},
    ),
    "zero3-full": (
        # The least that a file can say; all else is taken from the configuration.
        {"zero_optimization": {"stage": 3}},
        FULL | {"gradient_checkpointing": True, "train_sampling_strategy": "group_by_length"},
    ),
}


def pairs(path):
    """Answers, each beside that of the next example, which is worse."""
    examples = [json.loads(line) for line in demo_instructions_path().read_text().splitlines()][:46]
    with path.open("w") as file:
        for example, other in pairwise(examples):
            pair = {"chosen": example["output"], "rejected": other["output"]}
            file.write(json.dumps({"prompt": example["instruction"]} | pair) + "\n")
    return [str(path)]


def tensors(run):
    from safetensors.torch import load_file

    return load_file(next(run.output_dir.glob("*.safetensors")))


@pytest.mark.parametrize("cell", CELLS)
def test_a_run_that_deepspeed_divides_is_that_of_one_process_and_resumes_exactly(
    ranked, without_dropout, tmp_path, cell
):
    content, kind = CELLS[cell]
    path = tmp_path / "ds_config.json"
    path.write_text(json.dumps(content))
    values = {"model_name_or_path": without_dropout, "deepspeed": str(path)} | kind
    if "stage" in kind:
        values["dataset"] = pairs(tmp_path / "pairs.jsonl")
    broken = ranked(f"{cell}-broken", **values)
    first = broken.start()
    broken.reach(6)
    first.request_stop()
    stopped = broken.ended(first)
    assert stopped.result == "stopped"
    newest = broken.checkpoints()[-1]
    assert (newest.step, read_manifest(newest.path).world_size) == (stopped.step, 2)
    assert broken.finish(newest.path).result == "finished"

    straight = ranked(f"{cell}-straight", **values)
    assert straight.finish().result == "finished"
    log = straight.run.attempt(1).log_path.read_text()
    assert "2 processes share the work by deepspeed" in log
    assert numbers(broken) == numbers(straight)
    assert weights(broken) == weights(straight)

    # One process does not divide.
    alone = ranked(f"{cell}-alone", **values)
    assert alone.finish(ranks=1).result == "finished"
    assert_same_training(straight, alone, counts=("step", "tokens"), tolerance=1e-5)
    expected = tensors(alone)
    assert set(tensors(straight)) == set(expected)
    for name, found in tensors(straight).items():
        assert found.shape == expected[name].shape
        # The norm that gradients are cut by is added up in another order; Adam makes the most of it.
        assert (found - expected[name]).abs().max() < 1e-4, name
