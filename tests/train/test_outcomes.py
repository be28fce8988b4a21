"""How attempts end, in the words of ``outcome.json``, and what they leave for viewers and for other programs."""

import errno
import json
import os
import re
import subprocess
import sys

import pytest

from fttui_engine.runs.checkpoints import read_manifest
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.failures import explain
from own_mount import with_mount

SHORT = {"max_steps": 4, "per_device_train_batch_size": 2, "max_samples": 24, "learning_rate": 1e-3}


def test_what_a_finished_run_leaves(worker, tiny_model):
    """A full fine-tuning, and then an adapter on its result, evaluated on a file of its own."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    full = worker(
        "full", **SHORT, finetuning_type="full", val_size=0.25, eval_strategy="epoch", warmup_ratio=0.5
    )
    first = full.start()
    assert full.ended(first).result == "finished"

    training = [point for point in full.metrics() if "loss" in point]
    assert [point["step"] for point in training] == [1, 2, 3, 4]
    assert list(training[0]) == [
        *("time", "step", "epoch", "loss", "learning_rate", "grad_norm", "tokens"),
        *("tokens_per_second", "step_seconds", "attempt"),
    ]
    assert all(isinstance(value, int | float) for point in training for value in point.values())
    # Half of the run is warmup: the schedule rises, then falls.
    assert [round(point["learning_rate"] / 1e-3, 3) for point in training] == [0.0, 0.5, 1.0, 0.5]
    assert training[-1]["tokens"] > training[0]["tokens"] > 0
    evaluations = [point for point in full.metrics() if "eval_loss" in point]
    assert evaluations[-1]["step"] == 4
    assert evaluations[-1]["eval_perplexity"] == pytest.approx(2.718281828 ** evaluations[-1]["eval_loss"])
    progress = first.read_progress()
    assert (progress.phase, progress.step, progress.max_steps, progress.eta_seconds) == ("done", 4, 4, 0.0)
    log = first.log_path.read_text()
    assert "\nstep 4/4 loss " in log
    assert "\r" not in log
    assert "Traceback" not in log
    manifest = read_manifest(full.checkpoints()[-1].path)
    assert {"fttui", "torch", "transformers"} <= set(manifest.versions)
    names = {file.name for file in manifest.files}
    assert {
        "model.safetensors",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "trainer_state.json",
    } <= names
    assert not [name for name in names if name.endswith(".bin")], "no pickles"

    data = full.run.path / "talk.json"
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    data.write_text(json.dumps([{"conversations": turns}] * 4))
    lora = worker(
        "lora",
        **SHORT,
        model_name_or_path=str(full.output_dir),
        eval_dataset=[str(data)],
        eval_strategy="steps",
        eval_steps=2,
    )
    assert lora.finish().result == "finished"
    assert [point["step"] for point in lora.metrics() if "eval_loss" in point] == [2, 4]

    tokenizer = AutoTokenizer.from_pretrained(lora.output_dir)
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(tiny_model).chat_template
    inputs = tokenizer("Who are you?", return_tensors="pt")
    base, tuned = (
        AutoModelForCausalLM.from_pretrained(folder).eval() for folder in (tiny_model, full.output_dir)
    )
    adapted = PeftModel.from_pretrained(tuned, lora.output_dir).eval()
    with torch.no_grad():
        with adapted.disable_adapter():
            tuned_logits = adapted(**inputs).logits
        assert not torch.equal(tuned_logits, base(**inputs).logits)
        assert not torch.equal(tuned_logits, adapted(**inputs).logits)


def test_a_stop_during_an_evaluation_is_heard_and_the_evaluation_made_up_for(worker):
    run = worker(
        **SHORT | {"max_samples": None},
        val_size=150,
        per_device_eval_batch_size=1,
        eval_strategy="steps",
        eval_steps=2,
        cutoff_len=64,
    )
    attempt = run.start()
    run.wait_for(lambda: (progress := attempt.read_progress()) and progress.phase == "eval", "the evaluation")
    attempt.request_stop()
    outcome = run.ended(attempt)
    assert (outcome.result, outcome.step) == ("stopped", 2)
    assert not [point for point in run.metrics() if "eval_loss" in point]
    assert run.finish(resume_from=run.checkpoints()[-1].path).result == "finished"
    assert [point["step"] for point in run.metrics() if "eval_loss" in point] == [2, 4]


def test_a_loss_that_is_not_a_number_ends_the_run_and_spoils_no_checkpoint(worker):
    run = worker(
        **SHORT | {"learning_rate": 1e30, "max_grad_norm": 0, "save_steps": 1}, finetuning_type="full"
    )
    outcome = run.finish()
    assert (outcome.result, outcome.kind) == ("failed", "diverged")
    assert f"at step {outcome.step}" in outcome.message
    assert "learning_rate from 1e+30" in outcome.advice
    assert max(checkpoint.step for checkpoint in run.checkpoints()) < outcome.step


def test_missing_data_fails_with_a_sentence_and_no_traceback(worker):
    run = worker(**SHORT, dataset=["/nowhere/data.json"])
    attempt = run.start()
    outcome = run.ended(attempt)
    assert outcome.kind == "data"
    assert outcome.message == "There is no data file /nowhere/data.json."
    assert outcome.advice == "Correct the path in dataset."
    log = attempt.log_path.read_text()
    assert "Traceback" not in log
    assert log.rstrip().endswith(
        "failed: There is no data file /nowhere/data.json. Correct the path in dataset."
    )


@pytest.mark.parametrize("damage", ["spec", "launch"])
def test_a_damaged_run_directory_fails_before_torch_is_imported(worker, damage):
    run = worker(**SHORT)
    if damage == "spec":
        run.run.spec_path.write_text("values: [")
        outcome = run.finish()
    else:
        # Where the attempt starts must not be guessed: step 0 would throw away what was trained before.
        attempt = run.run.attempt(1)
        attempt.path.mkdir(parents=True)
        environment = os.environ | {"FTTUI_RUN_DIR": str(run.run.path), "FTTUI_ATTEMPT": "1"}
        subprocess.run(
            [sys.executable, "-P", "-m", "fttui_engine.train"], env=environment, capture_output=True
        )
        outcome = attempt.read_outcome()
    assert outcome.result == "failed"
    assert outcome.message
    assert not run.output_dir.exists()


def test_started_by_hand_it_says_how_to_start_it():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FTTUI_")}
    argv = [sys.executable, "-P", "-m", "fttui_engine.train"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "fttui start CONFIG" in done.stderr


def test_a_full_disk_is_named_and_the_torn_checkpoint_gives_its_room_back(worker):
    run = worker(**SHORT | {"save_steps": 1, "max_steps": 6}, finetuning_type="full")
    run.output_dir.mkdir()
    # Room for two checkpoints of 7 MB and a part of the third; torch reports a full disk as a RuntimeError.
    prefix = with_mount(f"-t tmpfs -o size=18m tmpfs {run.output_dir}")
    outcome = run.ended(run.start(prefix=prefix))
    assert (outcome.result, outcome.kind) == ("failed", "disk_full")
    assert "no room for the checkpoint of step 3" in outcome.message.lower()
    assert "save_total_limit" in outcome.advice


def config(**values):
    return TrainingConfig(model_name_or_path="m", dataset=("d",), **values)


def test_out_of_memory_names_the_keys_to_change_and_their_values():
    import torch

    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    failure = explain(
        error, config(per_device_train_batch_size=4, gradient_checkpointing=False, finetuning_type="full")
    )
    assert failure.kind == "oom_cuda"
    for advice in (
        "per_device_train_batch_size from 4 to 2",
        "gradient_accumulation_steps from 1 to 2",
        "gradient_checkpointing: true",
        "cutoff_len from 2048",
        "finetuning_type: lora",
    ):
        assert advice in failure.advice
    assert "per_device" not in explain(error, config(per_device_train_batch_size=1)).advice


def test_a_full_disk_names_each_folder_that_is_written_to_with_its_room(tmp_path, monkeypatch):
    # Prepared data and the demo's model are written to the home, which may be full while output_dir is not.
    monkeypatch.setenv("FTTUI_HOME", str(tmp_path / "home"))
    error = OSError(errno.ENOSPC, "No space left on device")
    advice = explain(error, config(output_dir=str(tmp_path / "not" / "there"))).advice
    assert re.search(rf"\d MB in {tmp_path}/home and [\d,]+ MB in {tmp_path}/not/there\.", advice)
    assert "not/there" not in explain(error, None).advice


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "oom_host"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            "oom_host",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"), "disk_full"),
        (RuntimeError("basic_ios::clear: iostream error"), "disk_full"),
        (ImportError("FlashAttention2 has been toggled on, but it cannot be used"), "environment"),
        (ZeroDivisionError("division by zero\nand more"), "error"),
        (KeyError(), "error"),
    ],
)
def test_every_failure_has_a_kind_and_one_sentence(error, kind):
    failure = explain(error, config())
    assert failure.kind == kind
    assert failure.message
    assert "\n" not in failure.message
    assert failure.advice
