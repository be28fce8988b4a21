"""LLaMA-Factory's files and its users' habits: all understood, or refused with the reason."""

from pathlib import Path
from typing import Any

import pytest

from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import Resolved

BASE = "model_name_or_path: demo:tiny\ndataset: demo:instructions\n"


def resolve_text(folder: Path, text: str, name: str = "x.yaml", **arguments: Any) -> Resolved:
    (folder / name).write_text(text, encoding="utf-8")
    return resolve(Path(name), cwd=folder, **arguments)


def errors_of(resolved: Resolved) -> dict[str, str]:
    return {finding.key: finding.message for finding in resolved.findings.errors}


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("evaluation_strategy: 'no'", "eval_strategy", "no"),
        ("no_cuda: true", "use_cpu", True),
        ("quantization_method: bitsandbytes", "quantization_method", "bnb"),
        ("lora_modules_to_save: [lm_head]", "additional_target", ["lm_head"]),
        ("lora_r: 4", "lora_rank", 4),
        ("assistant_only_loss: false", "train_on_prompt", True),
        ("assistant_only_loss: true", "train_on_prompt", False),
        ("sft_packing: true", "packing", True),
        ("dev_ratio: 0.1", "val_size", 0.1),
        ("prompt_template: chatml", "template", "chatml"),
        ("quant_type: fp4", "quantization_type", "fp4"),
        ("num_layer_trainable: 1", "freeze_trainable_layers", 1),
        ("epochs: 2", "num_train_epochs", 2),
        ("batch_size: 2", "per_device_train_batch_size", 2),
        ("lr: 1e-4", "learning_rate", 1e-4),
        ("adafactor: true", "optim", "adafactor"),
        ("mixed_precision: bf16", "bf16", True),
        ("compute_type: fp16", "fp16", True),
        ('fp16: "true"', "fp16", True),
        ("torch_dtype: bfloat16", "bf16", True),
        ("--lora-rank: 4", "lora_rank", 4),
        ("disable_gradient_checkpointing: true", "gradient_checkpointing", False),
        ("flash_attn: off", "flash_attn", "disabled"),
    ],
)
def test_an_old_spelling_is_read_and_explained(tmp_path: Path, line: str, key: str, value: Any) -> None:
    resolved = resolve_text(tmp_path, f"{BASE}{line}\n")
    assert resolved.values[key] == value
    if not line.startswith(key):
        (translated,) = (item for item in resolved.findings.translated if item.new.startswith(key))
        assert (translated.line, bool(translated.why)) == (3, True)


@pytest.mark.parametrize(
    "line", ["load_in_8bit: false", "adafactor: false", "mixed_precision: 'no'", "dtype: auto"]
)
def test_an_old_switch_that_is_off_is_no_error(tmp_path: Path, line: str) -> None:
    resolved = resolve_text(tmp_path, f"{BASE}{line}\n")
    assert errors_of(resolved) == {}
    assert line.split(":", maxsplit=1)[0] in {item.key for item in resolved.findings.ignored}


def test_orpo_was_a_stage_once(tmp_path: Path) -> None:
    values = resolve_text(tmp_path, "model_name_or_path: demo:tiny\nstage: orpo\norpo_beta: 0.2\n").values
    assert (values["stage"], values["pref_loss"], values["pref_beta"]) == ("dpo", "orpo", 0.2)


ARTICLE = """\
model:
  name: demo:tiny
dataset:
  path: demo:instructions
lora: {r: 4, alpha: 8}
quantization:
  method: bitsandbytes
train:
  batch_size: 2
  learning_rate: 1e-4
  distributed:
    enabled: true
    rank: 0
    master_addr: localhost
evaluation:
  strategy: steps
  steps: 50
  metrics: [accuracy, perplexity, bleu-4, charm]
val_size: 0.1
"""


def test_the_blocks_of_articles_are_read_as_single_keys(tmp_path: Path) -> None:
    resolved = resolve_text(tmp_path, ARTICLE)
    assert errors_of(resolved) == {}
    wanted = {
        "model_name_or_path": "demo:tiny",
        "dataset": ["demo:instructions"],
        "lora_rank": 4,
        "lora_alpha": 8,
        "quantization_method": "bnb",
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-4,
        "eval_strategy": "steps",
        "eval_steps": 50,
        "compute_accuracy": True,
    }
    assert {key: resolved.values[key] for key in wanted} == wanted
    assert resolved.origins["lora_rank"] == "file x.yaml:5"
    translated = {item.old: item.new for item in resolved.findings.translated}
    assert translated["evaluation.strategy"] == "eval_strategy"
    assert translated["train.batch_size"] == "batch_size"
    assert translated["batch_size"] == "per_device_train_batch_size"
    assert translated["quantization_method: bitsandbytes"] == "quantization_method: bnb"
    ignored = {item.key: item.line for item in resolved.findings.ignored}
    assert ignored["train.distributed.master_addr"] == 14
    assert {"evaluation.metrics: perplexity", "evaluation.metrics: charm"} <= set(ignored)


@pytest.mark.parametrize(
    ("block", "key", "count"),
    [
        ("{enabled: true, world_size: 2}", "run.gpus", 2),
        ("{enabled: true, world_size: 2, master_addr: 10.0.0.1}", "run.nodes", 2),
        ("{enabled: false, world_size: 2}", None, None),
    ],
)
def test_a_world_is_gpus_here_or_hosts_elsewhere(
    tmp_path: Path, block: str, key: str | None, count: int | None
) -> None:
    resolved = resolve_text(tmp_path, f"{BASE}train:\n  distributed: {block}\n")
    found = {item.new for item in resolved.findings.translated}
    assert found == ({key} if key else set())
    if key:
        assert resolved.values["run"][key.removeprefix("run.")] == count


def test_train_args_json_with_comments_tabs_and_emoji(tmp_path: Path) -> None:
    text = (
        '{\n\t"model_name_or_path": "demo:tiny", // which\n\t"dataset": "demo:instructions",\n'
        '\t"method": "lora", /* or\n full */\n\t"learning_rate": 1e-4, "default_system": "see http://x \\ud83d\\ude00",\n}\n'
    )
    resolved = resolve_text(tmp_path, text, "train_args.json")
    assert errors_of(resolved) == {}
    assert resolved.values["learning_rate"] == 1e-4
    assert resolved.values["default_system"] == "see http://x \U0001f600"
    assert resolved.origins["learning_rate"] == "file train_args.json:6"
    assert ("method", "finetuning_type") in {(item.old, item.new) for item in resolved.findings.translated}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("qwen", None),
        ("internvl", "Did you mean intern_vl?"),
        ("llama3.1", "Did you mean llama3?"),
        ("builtin:chatml", None),
        ("builtin:cohere", "among the built-in ones"),
        ("zzzzzzzz", "Leave it out"),
    ],
)
def test_names_of_templates(tmp_path: Path, name: str, words: str | None) -> None:
    errors = errors_of(resolve_text(tmp_path, f"{BASE}template: {name}\n"))
    assert set(errors) == ({"template"} if words else set())
    assert words is None or words in errors["template"]


def test_a_template_that_neither_the_model_nor_fttui_has(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "model" / name).write_text('{"model_type": "llama"}')
    text = "model_name_or_path: model\ndataset: demo:instructions\ntemplate: "
    assert "does not bring cohere" in errors_of(resolve_text(tmp_path, text + "cohere\n"))["template"]
    assert "template" not in errors_of(resolve_text(tmp_path, text + "alpaca\n"))
    (tmp_path / "model" / "chat_template.jinja").write_text("x")
    assert "template" not in errors_of(resolve_text(tmp_path, text + "cohere\n"))


FOREIGN_FILES = [
    ("compute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\nnum_processes: 2\n", "accelerate launch"),
    ('{"train_batch_size": "auto", "zero_optimization": {"stage": 3}}', "deepspeed: FILE"),
    ("model: a/b\npeft_config: {name: lora, r: 8}\ntrain_dataset: data/v1_sft_demo.yaml\n", "USE_V1=1"),
    ('{"identity": {"file_name": "identity.json"}, "more": {"hf_hub_url": "a/b"}}', "dataset: NAME"),
]


@pytest.mark.parametrize(("text", "words"), FOREIGN_FILES)
def test_a_file_of_another_program_is_called_what_it_is(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "it.yaml").write_text(text)
    errors = resolve(Path("it.yaml"), cwd=tmp_path).findings.errors
    assert len(errors) == 1, "one sentence instead of one per key"
    assert words in errors[0].message
