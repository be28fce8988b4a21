"""Methods and what saves memory: what cannot work together is refused with what to do, what rests is named."""

import json
from pathlib import Path

import pytest

from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import Resolved, read_spec, write_spec

BASE = ["model_name_or_path: demo:tiny", "dataset: demo:instructions", "use_cpu: true"]


def resolve_lines(folder: Path, *lines: str) -> Resolved:
    given = {line.partition(":")[0] for line in lines}
    written = [*lines, *(line for line in BASE if line.partition(":")[0] not in given)]
    (folder / "x.yaml").write_text("\n".join(written) + "\n")
    return resolve(Path("x.yaml"), cwd=folder)


def adapter(folder: Path) -> str:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    return folder.name


ERRORS = [
    (["finetuning_type: full", "adapter_name_or_path: a"], "adapter_name_or_path", "trains no adapter"),
    (["adapter_name_or_path: ./gone"], "adapter_name_or_path", "no adapter_config.json"),
    (["adapter_name_or_path: [a, b]", "quantization_bit: 4"], "adapter_name_or_path", "cannot be merged"),
    (["adapter_name_or_path: a", "create_new_adapter: true", "quantization_bit: 8"], "adapter_name_or_path", "merged"),
    (["pissa_init: true", "quantization_bit: 4"], "pissa_init", "cannot be decomposed"),
    (["pissa_init: true", "use_dora: true"], "pissa_init", "DoRA"),
    (["pissa_init: true", "stage: kto"], "pissa_init", "to compare with"),
    (["use_dora: true", "quantization_bit: 8"], "use_dora", "use quantization_bit: 4"),
    (["train_from_scratch: true"], "train_from_scratch", "use finetuning_type: full"),
    (["upcast_layernorm: true", "pure_bf16: true"], "upcast_layernorm", "use bf16"),
    (["add_tokens: [x]", "quantization_bit: 4"], "add_tokens", "leave quantization_bit out"),
    (["lr_scheduler_kwargs: {min_lr: 1e-6}"], "lr_scheduler_kwargs", "linear has no settings"),
    (["lr_scheduler_type: cosine_with_min_lr"], "lr_scheduler_type", "either min_lr or min_lr_rate"),
    (["lr_scheduler_type: warmup_stable_decay"], "lr_scheduler_type", "needs num_decay_steps"),
    (["lr_scheduler_type: polynomial", "learning_rate: 1e-8"], "lr_scheduler_type", "has to be lower"),
    (["optim: sgd", "optim_args: momentun=0.9"], "optim_args", "has momentum, dampening"),
    (["optim_args: [a]"], "optim_args", "NAME=value"),
    (["optim_args: momentum"], "optim_args", "NAME=value"),
    (["activation_offloading: true", "gradient_checkpointing: false"], "activation_offloading", "set gradient_"),
    (["enable_liger_kernel: true", "use_cpu: false"], "enable_liger_kernel", "pip install liger-kernel"),
    (["chunked_loss: maybe"], "chunked_loss", "auto, true, false"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "key", "words"), ERRORS)
def test_what_cannot_work_is_refused_with_what_to_do(
    lines: list[str], key: str, words: str, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        adapter(tmp_path / name)
    errors = [error for error in resolve_lines(tmp_path, *lines).findings.errors if error.key == key]
    assert errors
    assert words in errors[0].message
    assert errors[0].line


WARNINGS = [
    (["create_new_adapter: true"], "create_new_adapter"),
    (["adapter_name_or_path: a", "lora_rank: 16"], "lora_rank"),
    (["pissa_iter: 4"], "pissa_iter"),
    (["loraplus_lr_embedding: 1e-5"], "loraplus_lr_embedding"),
    (["finetuning_type: full", "use_dora: true"], "use_dora"),
    (["finetuning_type: full", "loraplus_lr_ratio: 16"], "loraplus_lr_ratio"),
    (["finetuning_type: full", "additional_target: norm"], "additional_target"),
    (["oft_block_size: 16"], "oft_block_size"),
    (["finetuning_type: oft", "lora_rank: 16"], "lora_rank"),
    (["upcast_layernorm: true"], "upcast_layernorm"),
    (["finetuning_type: freeze", "add_tokens: x"], "add_tokens"),
    (["packing: false", "neat_packing: true"], "packing"),
    (["activation_offloading: true"], "activation_offloading"),
    (["enable_liger_kernel: true"], "enable_liger_kernel"),
]


@pytest.mark.parametrize(("lines", "key"), WARNINGS)
def test_what_rests_is_named(lines: list[str], key: str, tmp_path: Path) -> None:
    adapter(tmp_path / "a")
    resolved = resolve_lines(tmp_path, *lines)
    assert resolved.ok, resolved.findings.errors
    assert key in {warning.key for warning in resolved.findings.warnings}


def test_what_llama_factory_takes_is_taken(tmp_path: Path) -> None:
    first, second = adapter(tmp_path / "a"), adapter(tmp_path / "b")
    resolved = resolve_lines(
        tmp_path,
        f"adapter_name_or_path: {first},{second}",
        "create_new_adapter: true",
        "use_dora: true",
        "loraplus_lr_ratio: 16.0",
        "neat_packing: true",
        "use_liger_kernel: false",
        "lr_scheduler_type: cosine_with_min_lr",
        "lr_scheduler_kwargs: {min_lr: 1e-6, num_cycles: 1}",
        "optim: sgd",
        "optim_args: momentum=0.9, nesterov=true",
    )
    assert resolved.findings.errors == []
    # As the worker reads it back.
    write_spec(resolved, tmp_path / "spec.yaml")
    config = read_spec(tmp_path / "spec.yaml").config
    assert config is not None
    assert config.adapter_name_or_path == (str(tmp_path / "a"), str(tmp_path / "b"))
    assert config.lr_scheduler_kwargs == {"min_lr": 1e-6, "num_cycles": 1}
    assert config.optim_args == {"momentum": 0.9, "nesterov": True}
    assert config.neat_packing
