"""``deepspeed:`` names a file of DeepSpeed: read before the start, and held against the configuration."""

import json
from pathlib import Path
from typing import Any

import pytest

from fttui_engine.errors import WrongRequestError
from fttui_engine.launch.rescale import rescale
from fttui_engine.runs.run import Plan, Run
from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import Resolved, write_spec

BASE = ["model_name_or_path=demo:tiny", "dataset=demo:instructions", "use_cpu=true", "run.processes=2"]
ZERO2 = {"zero_optimization": {"stage": 2}}


def with_file(folder: Path, content: Any, *overrides: str) -> Resolved:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "ds.json").write_text(text)
    return resolve(None, overrides=[*BASE, "deepspeed=ds.json", *overrides], cwd=folder)


def errors_of(resolved: Resolved) -> str:
    # Whether DeepSpeed is installed where the tests run does not matter here.
    messages = [finding.message for finding in resolved.findings.errors]
    return "\n".join(message for message in messages if "not installed" not in message)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is no JSON: Expecting property name enclosed in double quotes, line 1 column 2"),
        ("[" * 100_000, "is no JSON"),
        ("\0", "is no JSON"),
        ("[]", "divides nothing: its zero_optimization.stage has to be 1, 2 or 3, but is None"),
        ({"zero_optimization": {"stage": 0}}, "has to be 1, 2 or 3, but is 0"),
        ({"zero_optimization": {"stage": "auto"}}, "but is 'auto'"),
        (ZERO2 | {"train_micro_batch_size_per_gpu": 4}, "and per_device_train_batch_size is 8; write \"auto\""),
        (ZERO2 | {"train_batch_size": 8}, "x gradient_accumulation_steps is 16"),
        (ZERO2 | {"gradient_clipping": 0.5}, "gradient_clipping: 0.5, and max_grad_norm is 1.0"),
        (ZERO2 | {"bf16": {"enabled": True}}, "bf16.enabled: True, and bf16 is False"),
        (ZERO2 | {"optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}}, "and learning_rate is 5e-05"),
        (ZERO2 | {"tensor_parallel": {"autotp_size": 2}}, "asks for tensor_parallel"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_work_is_refused_with_what_to_do(content: Any, words: str, tmp_path: Path) -> None:
    assert words in errors_of(with_file(tmp_path, content))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["stage=ppo"], "needs a later release"),
        (["optim=adafactor"], "optim: adafactor is not made for"),
        (["pure_bf16=true"], "use bf16: true"),
        (["pissa_init=true"], "leave pissa_init out"),
        (["run.strategy=fsdp"], "exclude each other"),
        (["fsdp=full_shard"], "exclude each other"),
        (["deepspeed=gone.json"], "gone.json cannot be read: No such file or directory"),
    ],
)
def test_what_deepspeed_does_not_do_is_refused(overrides: list[str], words: str, tmp_path: Path) -> None:
    assert words in errors_of(with_file(tmp_path, ZERO2, *overrides))


def test_quantized_weights_are_divided_by_no_zero_3(tmp_path: Path) -> None:
    zero3 = {"zero_optimization": {"stage": 3}}
    assert "cannot divide quantized weights" in errors_of(with_file(tmp_path, zero3, "quantization_bit=4"))
    assert errors_of(with_file(tmp_path, ZERO2, "quantization_bit=4")) == ""


def test_a_file_of_llamafactory_is_right_as_it_is(tmp_path: Path) -> None:
    content = ZERO2 | {"train_batch_size": "auto", "gradient_clipping": "auto", "bf16": {"enabled": "auto"}}
    found = with_file(tmp_path, content)
    assert errors_of(found) == ""
    assert found.values["deepspeed"] == str(tmp_path / "ds.json")
    # The strategy's own word for it needs the file too.
    alone = resolve(None, overrides=[*BASE, "run.strategy=deepspeed"], cwd=tmp_path)
    assert "deepspeed: FILE.json" in errors_of(alone)


def test_what_has_no_effect_is_named(tmp_path: Path) -> None:
    found = with_file(tmp_path, ZERO2, "run.processes=1")
    assert errors_of(found) == ""
    assert "no effect with one process" in " ".join(each.message for each in found.findings.warnings)
    content = ZERO2 | {"optimizer": {"type": "AdamW", "params": {"lr": "auto"}}}
    warnings = " ".join(each.message for each in with_file(tmp_path, content).findings.warnings)
    assert "The optimizer of" in warnings
    assert "replaces optim" in warnings


def test_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path / "demo")
    run.path.mkdir()
    write_spec(with_file(tmp_path, ZERO2), run.spec_path)
    argv = ["python", "-P", "-m", "fttui_engine.train.ranks", "2"]
    run.write_plan(Plan("demo", "train", argv, {}, "/", str(run.checkpoints_dir), None, 60.0))
    with pytest.raises(WrongRequestError, match="as many processes as wrote them"):
        rescale(run, processes=1)
    _, words = rescale(run, processes=2)
    assert words == "2 processes, as before"
