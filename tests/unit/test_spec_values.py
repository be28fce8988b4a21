"""Every kind of value: what is taken, what it becomes, and what is said about the rest."""

from typing import Any

import pytest

from fttui_engine.spec.document import parse_document
from fttui_engine.spec.keys import KEYS
from fttui_engine.spec.nodes import Block
from fttui_engine.spec.values import MismatchError, convert


def value_of(name: str, written: str) -> Any:
    document = parse_document(f"key: {written}")
    assert isinstance(document, Block)
    return convert(KEYS[name], document.entries[0][1])


GOOD = [
    ("learning_rate", "1e-4", 1e-4),
    ("learning_rate", "5.0e-5", 5e-5),
    ("learning_rate", ".001", 1e-3),
    ("learning_rate", "'2e-4'", 2e-4),
    ("num_train_epochs", "3", 3.0),
    ("max_steps", "1e3", 1000),
    ("max_steps", "-1", -1),
    ("max_steps", "100.0", 100),
    ("seed", "4294967295", 4294967295),
    ("warmup_steps", "0.1", 0.1),
    ("warmup_steps", "20", 20),
    ("save_steps", "0.25", 0.25),
    ("val_size", "0.1", 0.1),
    ("val_size", "100", 100),
    ("val_size", "0", 0),
    ("bf16", "true", True),
    ("bf16", "No", False),
    ("bf16", "ON", True),
    ("save_strategy", "no", "no"),
    ("eval_strategy", "epoch", "epoch"),
    ("template", "no", "no"),
    ("template", "1.10", "1.10"),
    ("template", "2024-01-01", "2024-01-01"),
    ("template", "null", None),
    ("template", "~", None),
    ("template", "", None),
    ("template", "'null'", "null"),
    ("dataset", "a.json,b.json", ["a.json", "b.json"]),
    ("dataset", "[a.json, 'b, c.json']", ["a.json", "b, c.json"]),
    ("dataset", "identity", ["identity"]),
    ("dataset", "[]", None),
    ("lora_target", "[q_proj, v_proj]", ["q_proj", "v_proj"]),
    ("default_system", "'two\n\n  lines'", "two\nlines"),
    ("run.gpus", "auto", "auto"),
    ("run.gpus", "none", "none"),
    ("run.gpus", "2", 2),
    ("run.gpus", "[0]", [0]),
    ("run.gpus", "[0, 1]", [0, 1]),
    ("run.gpus", "0,1", [0, 1]),
    ("run.nodes", "2", 2),
    ("run.nodes", "[a, b]", ["a", "b"]),
    ("run.environment", "{A: 1, B: 'x y', C: }", {"A": "1", "B": "x y", "C": ""}),
    ("run.command", "[python, -c, 'print(1)', '']", ["python", "-c", "print(1)", ""]),
]

BAD = [
    ("learning_rate", "fast", "number above 0", None),
    ("learning_rate", "0", "above 0", None),
    ("learning_rate", "-1e-4", "above 0", None),
    ("learning_rate", "0,0001", "number", "0.0001"),
    ("learning_rate", "nan", "number", None),
    ("learning_rate", ".nan", "number", None),
    ("learning_rate", "inf", "number", None),
    ("learning_rate", "1e999", "number", None),
    ("learning_rate", "[1e-4]", "number", None),
    ("learning_rate", "{a: 1}", "number", None),
    ("learning_rate", "true", "number", None),
    ("cutoff_len", "abc", "whole number", None),
    ("cutoff_len", "2", "at least 8", None),
    ("cutoff_len", "2048.5", "whole number", None),
    ("per_device_train_batch_size", "-1", "at least 1", None),
    ("per_device_train_batch_size", "0", "at least 1", None),
    ("per_device_train_batch_size", "9" * 5000, "whole number", None),
    ("per_device_train_batch_size", "99999999999", "at least 1, and of at most 2147483647", None),
    ("max_steps", "-2", "at least -1", None),
    ("seed", "-1", "at least 0", None),
    ("seed", "4294967296", "at most", None),
    ("lora_dropout", "1", "below 1", None),
    ("lora_dropout", "1.5", "below 1", None),
    ("warmup_ratio", "5", "at most 1", None),
    ("save_steps", "0", "at least 1", None),
    ("save_steps", "2.5", "fraction", None),
    ("val_size", "-0.1", "fraction", None),
    ("val_size", "1.5", "fraction", None),
    ("bf16", "maybe", "true or false", None),
    ("bf16", "ture", "true or false", "true"),
    ("bf16", "1", "true or false", "true"),
    ("bf16", "[true]", "true or false", None),
    ("stage", "sftt", "sft", "sft"),
    ("finetuning_type", "LoRA", "one of lora, full", "lora"),
    ("lr_scheduler_type", "cosin", "one of", "cosine"),
    ("save_strategy", "false", "one of no", "no"),
    ("model_name_or_path", "[a]", "path", None),
    ("model_name_or_path", "' '", "path", None),
    ("model_name_or_path", '"a\\0b"', "control characters", None),
    ("output_dir", '"a\\nb"', "control characters", None),
    ("output_dir", '"\\e[2J"', "control characters", None),
    ("dataset", "a,,b", "list", None),
    ("dataset", "[a, '']", "list", None),
    ("dataset", "[[a]]", "list", None),
    ("dataset", "{a: b}", "list", None),
    ("run.gpus", "0", "number of GPUs", "none, or [0] for the first GPU"),
    ("run.gpus", "-1", "number of GPUs", None),
    ("run.gpus", "all", "number of GPUs", None),
    ("run.gpus", "[0, 0]", "each GPU once", None),
    ("run.gpus", "[]", "number of GPUs", None),
    ("run.gpus", "[a]", "number of GPUs", None),
    ("run.gpus", "0;rm -rf", "number of GPUs", None),
    ("run.nodes", "0", "number of hosts", None),
    ("run.nodes", "['-oProxyCommand=x']", "host names", None),
    ("run.environment", "A=1", "block of NAME", None),
    ("run.environment", "{A B: 1}", "letters", None),
    ("run.environment", "{FTTUI_RUN: x}", "FTTUI_", None),
    ("run.environment", "{A: [1]}", "block of NAME", None),
    ("run.environment", "{A: 1, A: 2}", "each name once", None),
    ("run.command", "python train.py", "list of words", "[python, train.py]"),
    ("run.command", "[]", "list of words", None),
    ("run.command", "['']", "list of words", None),
    ("run.command", "[[a]]", "list of words", None),
]


@pytest.mark.parametrize(("name", "written", "value"), GOOD)
def test_good_value(name: str, written: str, value: Any) -> None:
    found = value_of(name, written)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("name", "written", "allowed", "suggestion"), BAD)
def test_bad_value(name: str, written: str, allowed: str, suggestion: str | None) -> None:
    with pytest.raises(MismatchError) as caught:
        value_of(name, written)
    assert allowed in caught.value.allowed
    assert caught.value.suggestion == suggestion
    assert len(caught.value.found) < 120, "long values are cut"
