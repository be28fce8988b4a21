"""A run that was stopped or killed and resumed is the straight run, bit by bit, in every number that it reports."""

import hashlib
import json
import shutil
import signal
from pathlib import Path

import pytest

from fttui_engine.train.demo import demo_instructions_path
from fttui_engine.train.loop.checkpoints import read_resume_point

COMMON = {
    "max_steps": 40,
    "per_device_train_batch_size": 2,
    # Everything that makes resume hard: accumulation, dropout (the model has it too), epochs of 10 steps, and logging
    # windows and evaluations that do not fall on the steps of the checkpoints.
    "gradient_accumulation_steps": 2,
    "max_samples": 48,
    "val_size": 8,
    "learning_rate": 3e-3,
    "lr_scheduler_type": "cosine",
    "logging_steps": 3,
    "save_steps": 8,
    "eval_strategy": "steps",
    "eval_steps": 7,
}
NUMBERS = ("step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "eval_loss", "eval_perplexity")


def numbers(worker):
    """Everything in the metrics that is not a time."""
    return [tuple(point.get(name) for name in NUMBERS) for point in worker.metrics()]


def weights(worker, name):
    return hashlib.sha256((worker.output_dir / name).read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("kind", "weights_file"),
    [
        ({"finetuning_type": "full"}, "model.safetensors"),
        (
            {
                "lora_dropout": 0.1,
                "additional_target": ["embed_tokens", "lm_head"],
                "bf16": True,
                "gradient_checkpointing": True,
                "neftune_noise_alpha": 5.0,
                "label_smoothing_factor": 0.1,
                "dataloader_num_workers": 1,
            },
            "adapter_model.safetensors",
        ),
        (
            {
                "lora_dropout": 0.1,
                "quantization_bit": 4,
                "bf16": True,
                "gradient_checkpointing": True,
                "optim": "adamw_8bit",
            },
            "adapter_model.safetensors",
        ),
        ({"lora_dropout": 0.1, "quantization_bit": 8}, "adapter_model.safetensors"),
        (
            {
                "finetuning_type": "freeze",
                "freeze_trainable_layers": 1,
                "freeze_extra_modules": ["norm"],
                "bf16": True,
            },
            "model.safetensors",
        ),
    ],
    ids=["full", "lora-bf16-neftune-worker", "qlora-nf4-adamw8", "qlora-int8", "freeze-bf16"],
)
def test_stop_and_kill_then_resume_equal_a_straight_run(worker, kind, weights_file):
    straight = worker("straight", **COMMON, **kind)
    broken = worker("broken", **COMMON, **kind)
    straight_attempt, first = straight.start(), broken.start()

    broken.reach(12)
    first.request_stop()
    stopped = broken.ended(first)
    assert (stopped.result, stopped.step) == ("stopped", broken.checkpoints()[-1].step)
    assert 12 <= stopped.step < 25
    assert stopped.checkpoint == str(broken.checkpoints()[-1].path)

    # The second attempt is killed outright; what it did after its last checkpoint is done again.
    broken.start(resume_from=broken.checkpoints()[-1].path)
    broken.reach(stopped.step + 9)
    broken.kill(signal.SIGKILL)
    assert broken.wait() == -signal.SIGKILL
    finished = broken.finish(resume_from=broken.checkpoints()[-1].path)

    assert straight.ended(straight_attempt).result == finished.result == "finished"
    assert finished.step == 40
    expected = numbers(straight)
    assert [row[0] for row in expected if row[2] is not None] == [*range(3, 40, 3), 40]
    assert [row[0] for row in expected if row[6] is not None] == [7, 14, 21, 28, 35, 40]
    assert numbers(broken) == expected
    assert weights(broken, weights_file) == weights(straight, weights_file)
    assert {point["attempt"] for point in broken.metrics()} >= {1, 3}
    bits = kind.get("quantization_bit")
    log = straight_attempt.log_path.read_text()
    assert (f"({bits} bit)" in log) is bool(bits)
    assert "kernels" not in log
    assert "MatMul8bitLt" not in log


@pytest.mark.parametrize(
    ("kind", "weights_file"),
    [
        ({"finetuning_type": "full"}, "model.safetensors"),
        ({"lora_dropout": 0.1, "packing": False}, "adapter_model.safetensors"),
        ({"lora_dropout": 0.1, "quantization_bit": 4}, "adapter_model.safetensors"),
        ({"lora_dropout": 0.1, "quantization_bit": 8}, "adapter_model.safetensors"),
        ({"finetuning_type": "freeze", "freeze_trainable_layers": -1}, "model.safetensors"),
    ],
    ids=["full", "lora", "qlora-nf4", "qlora-int8", "freeze"],
)
def test_pretraining_that_was_killed_and_resumed_equals_a_straight_run(worker, tmp_path, kind, weights_file):
    texts = tmp_path / "texts.jsonl"
    examples = [json.loads(line) for line in demo_instructions_path().read_text().splitlines()]
    texts.write_text("".join(json.dumps({"text": each["output"]}) + "\n" for each in examples))
    values = COMMON | {"stage": "pt", "dataset": [str(texts)], "cutoff_len": 48, "max_steps": 24} | kind
    straight, broken = worker("straight", **values), worker("broken", **values)
    straight_attempt, _ = straight.start(), broken.start()
    broken.reach(15)
    broken.kill(signal.SIGKILL)
    assert broken.wait() == -signal.SIGKILL
    finished = broken.finish(resume_from=broken.checkpoints()[-1].path)

    assert straight.ended(straight_attempt).result == finished.result == "finished"
    assert {point["attempt"] for point in broken.metrics()} == {1, 2}
    expected = numbers(straight)
    assert [row[0] for row in expected if row[6] is not None] == [7, 14, 21, 24]
    assert numbers(broken) == expected
    assert weights(broken, weights_file) == weights(straight, weights_file)


def test_a_kill_while_saving_tears_nothing_that_counts(worker):
    # Writing takes about 30 ms; on a crowded machine the kill may come too late and tear nothing.
    for number in range(5):
        broken = worker(f"run-{number}", **COMMON, finetuning_type="full")
        broken.start()
        torn = broken.output_dir / "checkpoint-16"
        broken.wait_for(torn.exists, "the second checkpoint")
        broken.kill()
        broken.wait()
        if not torn.joinpath("manifest.json").exists():
            break
    assert [checkpoint.step for checkpoint in broken.checkpoints()] == [8]

    attempt = broken.start(resume_from=broken.checkpoints()[-1].path)
    broken.reach(18)
    assert read_resume_point(torn).step == 16
    attempt.request_stop()
    assert broken.ended(attempt).result == "stopped"
    assert not list(broken.output_dir.glob("torn-*")), "the torn one was replaced, so nothing of it is of use"


def test_sigterm_is_a_stop_request_and_old_checkpoints_go(worker):
    run = worker(**COMMON | {"save_steps": 4, "save_total_limit": 1})
    attempt = run.start()
    run.reach(18)
    run.kill(signal.SIGTERM)
    outcome = run.ended(attempt)
    assert (outcome.result, outcome.checkpoint) == ("stopped", str(run.checkpoints()[-1].path))
    # The limit of 1 would leave nothing to fall back to.
    assert len(run.checkpoints()) == 2

    # The one that a run goes on from stays, however many come after it.
    origin = run.checkpoints()[-1].path
    assert run.finish(resume_from=origin).result == "finished"
    assert [checkpoint.step for checkpoint in run.checkpoints()][1:] == [36, 40]
    assert run.checkpoints()[0].path == origin


def test_a_stop_before_the_first_step_keeps_the_place(worker):
    run = worker(**COMMON)
    first = run.start()
    first.request_stop()
    outcome = run.ended(first)
    assert (outcome.result, outcome.step, outcome.checkpoint) == ("stopped", 0, None)
    assert run.metrics() == []


def test_resume_of_a_run_whose_steps_were_all_done_only_writes_the_result(worker):
    run = worker(**COMMON | {"max_steps": 4, "logging_steps": 1})
    assert run.finish().result == "finished"
    result = run.output_dir / "adapter_model.safetensors"
    before, points = result.read_bytes(), numbers(run)
    result.unlink()
    outcome = run.finish(resume_from=run.checkpoints()[-1].path)
    assert (outcome.result, outcome.step) == ("finished", 4)
    assert result.read_bytes() == before
    assert numbers(run) == points


def test_data_that_changed_since_the_checkpoint_is_said(worker, tmp_path):
    data = tmp_path / "mine.jsonl"
    lines = [json.dumps({"instruction": f"Say {number}.", "output": str(number)}) for number in range(24)]
    data.write_text("\n".join(lines))
    run = worker(dataset=[str(data)], max_steps=4, save_steps=2, per_device_train_batch_size=2)
    assert run.finish().result == "finished"
    early, late = (checkpoint.path for checkpoint in run.checkpoints())
    same = run.start(resume_from=early)
    assert run.ended(same).result == "finished"
    assert "warning: the examples" not in same.log_path.read_text()
    shutil.rmtree(late)
    data.write_text("\n".join([*lines[:-1], lines[-1].replace("23.", "24.")]))
    other = run.start(resume_from=early)
    assert run.ended(other).result == "finished"
    assert "the examples are not those that step 2 was trained on" in other.log_path.read_text()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "never sealed"),
        (lambda folder: (folder / "optimizer.pt").unlink(), "optimizer.pt: No such file"),
        (lambda folder: _truncate(folder / "adapter_model.safetensors"), "does not have its"),
        (lambda folder: _flip(folder / "optimizer.pt"), "has changed since it was sealed"),
        (lambda folder: _flip(folder / "manifest.json"), "manifest"),
    ],
    ids=["no manifest", "missing file", "truncated", "flipped byte", "manifest flipped"],
)
def test_a_damaged_checkpoint_is_refused_before_anything_is_trained(
    worker, sealed_checkpoint, damage, reason
):
    run = worker(max_steps=4)
    folder = sealed_checkpoint(run.output_dir)
    damage(folder)
    outcome = run.finish(resume_from=folder)
    assert (outcome.result, outcome.kind) == ("failed", "checkpoint")
    assert reason in outcome.message
    assert outcome.advice
    assert run.metrics() == []


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def sealed_checkpoint():
    """Seals a checkpoint with the file names of a real one; the damage is found before their content matters."""
    from fttui_engine.runs.checkpoints import seal

    def make(output_dir: Path) -> Path:
        folder = output_dir / "checkpoint-2"
        folder.mkdir(parents=True)
        for name in ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json"):
            (folder / name).write_bytes(name.encode() * 100)
        extra = {"loss_sums": [0.0], "last_logged_step": 2, "tokens": 1, "evaluation_due": False}
        seal(folder, 2, 1, {}, extra)
        return folder

    return make
