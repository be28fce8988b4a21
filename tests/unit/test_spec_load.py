"""From layers to one configuration: precedence, origins, and everything that is wrong at once."""

from pathlib import Path
from typing import Any

import pytest

from fttui_engine.spec.check import check
from fttui_engine.spec.keys import KEYS
from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import Resolved

BASE = "model_name_or_path: demo:tiny\ndataset: demo:instructions\n"


def resolve_text(folder: Path, text: str, **arguments: Any) -> Resolved:
    (folder / "x.yaml").write_text(text)
    return resolve(Path("x.yaml"), cwd=folder, **arguments)


def errors_of(resolved: Resolved) -> dict[str, str]:
    return {finding.key: finding.message for finding in resolved.findings.errors}


def test_a_small_file_is_complete_and_every_value_says_where_it_is_from(tmp_path: Path) -> None:
    resolved = resolve_text(tmp_path, BASE + "lora_rank: 4\nrun:\n  name: first\n", overrides=["seed=7"])
    assert errors_of(resolved) == {}
    assert resolved.ok
    values, origins = resolved.values, resolved.origins
    assert (values["lora_rank"], origins["lora_rank"]) == (4, "file x.yaml:3")
    assert (values["lora_alpha"], origins["lora_alpha"]) == (8, "default (2 x lora_rank)")
    assert (values["seed"], origins["seed"]) == (7, "--set")
    assert (values["data_seed"], origins["data_seed"]) == (7, "default (seed)")
    assert (values["run"]["name"], origins["run.name"]) == ("first", "file x.yaml:5")
    assert resolved.run.name == "first"
    assert (values["per_device_train_batch_size"], origins["per_device_train_batch_size"]) == (8, "default")
    assert resolved.config is not None
    assert resolved.config.dataset == ("demo:instructions",)


def test_layers_win_in_order(tmp_path: Path) -> None:
    without = resolve(None, profile="demo", cwd=tmp_path)
    assert (without.values["max_steps"], without.origins["max_steps"].rpartition(":")[0]) == (
        120,
        "profile demo",
    )
    with_file = resolve_text(tmp_path, "max_steps: 30\n", profile="demo")
    assert (with_file.values["max_steps"], with_file.origins["max_steps"]) == (30, "file x.yaml:1")
    with_set = resolve_text(
        tmp_path, "max_steps: 30\n", profile="demo", overrides=["max_steps=5", "max_steps=6"]
    )
    assert (with_set.values["max_steps"], with_set.origins["max_steps"]) == (6, "--set")


def test_null_takes_back_what_a_lower_layer_said(tmp_path: Path) -> None:
    resolved = resolve_text(tmp_path, "max_steps: null\n", profile="demo")
    assert (resolved.values["max_steps"], resolved.origins["max_steps"]) == (-1, "default")
    assert resolve(None, profile="demo", overrides=["save_total_limit="], cwd=tmp_path).ok


def test_a_refused_key_can_be_taken_back(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "model_name_or_path: demo:tiny\ndataset: demo:instructions\nuse_badam: true\n"
    )
    assert "use_badam" in errors_of(resolve(Path("x.yaml"), cwd=tmp_path))
    assert resolve(Path("x.yaml"), overrides=["use_badam=null"], cwd=tmp_path).ok


def test_the_profile_of_a_small_gpu_needs_no_more_than_the_gpu(tmp_path: Path) -> None:
    resolved = resolve(
        None, profile="single-8gb-qlora", overrides=["run.gpus=auto", "fp16=false"], cwd=tmp_path
    )
    assert resolved.ok
    assert resolved.config is not None
    assert (resolved.config.quantization_bit, resolved.config.quantization_type) == (4, "nf4")


def test_all_errors_are_found_at_once_each_with_line_and_advice(tmp_path: Path) -> None:
    text = "model_name_or_path: demo:tiny\nlora_rnak: 8\nlearning_rate: fast\ndeepspeed: ds.json\nrun:\n  gpu: 1\n  name: -rf\n"
    errors = {finding.key: finding for finding in resolve_text(tmp_path, text).findings.errors}
    assert set(errors) == {"lora_rnak", "learning_rate", "deepspeed", "run.gpu", "run.name", "dataset"}
    assert (errors["lora_rnak"].line, errors["lora_rnak"].suggestion) == (2, "lora_rank")
    assert (
        errors["learning_rate"].message == "x.yaml:3: learning_rate must be a number above 0, but is 'fast'."
    )
    assert "ds.json cannot be read" in errors["deepspeed"].message
    assert (errors["run.gpu"].line, errors["run.gpu"].suggestion) == (6, "run.gpus")
    assert errors["run.name"].line == 7
    assert errors["dataset"].line is None


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("seed: 1\nbf16: false\nseed: 2\n", "lines 1 and 3"),
        ("run:\n  name: a\nrun:\n  name: b\n", "lines 2 and 4"),
        ("eval_strategy: no\nevaluation_strategy: no\n", "lines 1 and 2"),
    ],
)
def test_a_key_given_twice_names_both_lines(text: str, lines: str, tmp_path: Path) -> None:
    error = resolve_text(tmp_path, text).findings.errors[0]
    assert error.found == lines


@pytest.mark.parametrize(
    ("override", "key", "words"),
    [
        ("max_steps", "max_steps", "KEY=VALUE"),
        ("=3", "=3", "KEY=VALUE"),
        ("max_steps=three", "max_steps", "whole number"),
        ("max_step=3", "max_step", "Did you mean max_steps?"),
        ("run=x", "run", "must be a block"),
        ("run.nam=x", "run.nam", "run.name"),
        ("dataset=[a, b", "dataset", "YAML"),
        ("dataset=[*a]", "dataset", "alias"),
        ("run.name=../../x", "run.name", "letters"),
    ],
)
def test_a_wrong_override_is_an_error(override: str, key: str, words: str, tmp_path: Path) -> None:
    message = errors_of(resolve_text(tmp_path, BASE, overrides=[override]))[key]
    assert words in message
    assert message.startswith("--set: ")


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("default_system=You are: [helpful] #1", "default_system", "You are: [helpful] #1"),
        ("default_system={name}", "default_system", "{name}"),
        ("learning_rate=1e-4", "learning_rate", 1e-4),
        ("lora_target=[q_proj, v_proj]", "lora_target", ["q_proj", "v_proj"]),
        ("lora_target=q_proj,v_proj", "lora_target", ["q_proj", "v_proj"]),
        ("per_gpu_train_batch_size=3", "per_device_train_batch_size", 3),
    ],
)
def test_an_override_is_taken_as_it_was_typed(override: str, key: str, value: object, tmp_path: Path) -> None:
    resolved = resolve_text(tmp_path, BASE, overrides=[override])
    assert errors_of(resolved) == {}
    assert resolved.values[key] == value


def test_environment_variables_add_up_over_the_layers(tmp_path: Path) -> None:
    text = BASE + "run:\n  environment:\n    A: file\n    B: file\n"
    resolved = resolve_text(tmp_path, text, overrides=["run.environment.B=typed", "run.environment.C=a=b"])
    assert errors_of(resolved) == {}
    assert resolved.run.environment == {"A": "file", "B": "typed", "C": "a=b"}


def test_local_paths_become_absolute_seen_from_where_the_user_stands(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / "model" / name).write_text('{"model_type": "llama"}')
    (tmp_path / "d.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    text = "model_name_or_path: model\ndataset: d.jsonl\noutput_dir: out/x\n"
    resolved = resolve_text(tmp_path, text)
    assert errors_of(resolved) == {}
    assert resolved.values["model_name_or_path"] == str(tmp_path / "model")
    assert resolved.values["dataset"] == [str(tmp_path / "d.jsonl")]
    assert resolved.values["output_dir"] == str(tmp_path / "out/x")
    assert not (tmp_path / "out").exists(), "a check leaves nothing behind"


def test_a_program_of_ones_own_needs_no_training_keys(tmp_path: Path) -> None:
    text = (
        "learning_rate: 1e-4\nfoo: bar\nrun:\n  name: other\n  command: [llamafactory-cli, train, x.yaml]\n"
    )
    resolved = resolve_text(tmp_path, text)
    assert resolved.ok
    assert resolved.config is None
    assert resolved.run.command == ("llamafactory-cli", "train", "x.yaml")
    assert [ignored.key for ignored in resolved.findings.ignored] == ["learning_rate", "foo"]
    assert set(resolved.values) == {"run"}


def test_an_unknown_profile_names_the_others(tmp_path: Path) -> None:
    for name in ("demoo", "../demo", "", "demo.yaml", "x" * 5000):
        (error,) = resolve(None, profile=name, cwd=tmp_path).findings.errors
        assert "single-24gb-lora" in error.message


def test_a_llama_factory_file_runs_unchanged(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / "model" / name).write_text('{"model_type": "llama"}')
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo.json").write_text('[{"instruction": "a", "input": "", "output": "b"}]')
    (tmp_path / "data" / "dataset_info.json").write_text('{"alpaca_en_demo": {"file_name": "demo.json"}}')
    resolved = resolve_text(tmp_path, LLAMA_FACTORY)
    assert errors_of(resolved) == {}
    assert resolved.config is not None
    assert resolved.config.dataset == ("alpaca_en_demo",)
    assert resolved.config.learning_rate == 5e-3
    ignored = {item.key for item in resolved.findings.ignored}
    assert "plot_loss" in ignored


LLAMA_FACTORY = """\
### model
model_name_or_path: model
trust_remote_code: false

### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_alpha: 16
lora_dropout: 0.0
lora_target: all

### dataset
dataset_dir: data
dataset: alpaca_en_demo
template: chatml
cutoff_len: 512
max_samples: 400
overwrite_cache: true
preprocessing_num_workers: 1
dataloader_num_workers: 0

### output
output_dir: out/sft_lora
overwrite_output_dir: true
logging_steps: 1
save_steps: 25
save_only_model: false
plot_loss: true
report_to: none  # choices: [none, wandb, tensorboard, swanlab, mlflow]
include_num_input_tokens_seen: true

### train
seed: 42
per_device_train_batch_size: 2
gradient_accumulation_steps: 2
learning_rate: 5.0e-3
max_steps: 50
lr_scheduler_type: cosine
warmup_ratio: 0.1
optim: adamw_torch
max_grad_norm: 1.0
use_cpu: true
ddp_timeout: 180000000
resume_from_checkpoint: null
"""

ODD_VALUES = [
    "null", "''", "' '", "x", "-1", "0", "1", "0.5", "1e400", "nan", "true", "[]", "[[]]", "[1, 2]", "['']", "{}",
    "{a: b}", "{a: {b: [c]}}", '"\\0"', '"\\e[0m"', '"\\ud83d\\ude00"', "\u4f60\u597d", "/", "..", "~", "~root", "/dev/null",
    "/proc/self/mem", "/root/x", "../../../etc/passwd", "$(id)", "--help", "demo:", "demo:x", "a" * 5000, "a/" * 2000,
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD_VALUES, ids=range(len(ODD_VALUES)))
def test_no_value_of_any_key_ends_in_a_traceback(odd: str, tmp_path: Path) -> None:
    # One by one where the value is looked up on this machine, then all together.
    for name in ("model_name_or_path", "dataset", "output_dir", "dataset_dir", "cache_dir"):
        resolve_text(tmp_path, BASE.replace(f"{name}:", "seed:") + f"{name}: {odd}\n")
    for name in ("name", "python", "gpus", "environment", "command", "restart"):
        resolve_text(tmp_path, BASE + f"run:\n  {name}: {odd}\n")
    everything = "".join(f"{name}: {odd}\n" for name in KEYS if "." not in name)
    assert not check(resolve_text(tmp_path, everything)).ok
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]
