"""What the variants of training add to a run's state is all in its checkpoints: a resumed run is the straight one."""

import hashlib

import pytest

COMMON = {
    "max_steps": 12,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    # The last checkpoint falls into the second epoch, and into a logging window.
    "max_samples": 24,
    "val_size": 4,
    "learning_rate": 3e-3,
    "lr_scheduler_type": "cosine",
    "lora_dropout": 0.1,
    "logging_steps": 5,
    "save_steps": 8,
    "eval_strategy": "steps",
    "eval_steps": 3,
}
NUMBERS = ("step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "eval_loss")
KINDS = {
    "dora-loraplus-packing-chunked": {
        "use_dora": True,
        "loraplus_lr_ratio": 16.0,
        "packing": True,
        "max_samples": 48,
        "chunked_loss": "true",
        "label_smoothing_factor": 0.1,
        "neftune_noise_alpha": 5.0,
        "gradient_checkpointing": True,
        "bf16": True,
    },
    "pissa-ademamix8-dft-groups": {
        "pissa_init": True,
        "optim": "ademamix_8bit",
        "use_dft_loss": True,
        "train_sampling_strategy": "group_by_length",
    },
    "oft-lion8-min-lr": {
        "finetuning_type": "oft",
        "oft_block_size": 16,
        "module_dropout": 0.1,
        "optim": "paged_lion_8bit",
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr_rate": 0.1},
        "disable_shuffling": True,
        "add_special_tokens": ["<think>"],
    },
}


def numbers(worker, after=0):
    return [tuple(point.get(name) for name in NUMBERS) for point in worker.metrics() if point["step"] > after]


def result(worker):
    return hashlib.sha256((worker.output_dir / "adapter_model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_goes_on_from_a_checkpoint_equals_the_straight_one(worker, kind):
    straight, resumed = (worker(name, **COMMON | KINDS[kind]) for name in ("straight", "resumed"))
    assert straight.finish().result == "finished"
    checkpoint = straight.checkpoints()[0]
    assert checkpoint.step == 8
    assert resumed.finish(resume_from=checkpoint.path).result == "finished"

    expected = numbers(straight, after=8)
    assert [row[0] for row in expected] == [9, 10, 12, 12]
    assert numbers(resumed) == expected
    assert result(resumed) == result(straight)
    log = straight.run.attempt(1).log_path.read_text()
    assert ("none sees another" in log, "loss: of" in log) == (("packing" in KINDS[kind]),) * 2
