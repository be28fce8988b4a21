"""The tables agree with each other and with the libraries whose names they use."""

import ast
import dataclasses
import typing
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.spec.keys import KEYS
from fttui_engine.spec.known_keys import find_known, known_names
from fttui_engine.spec.load import resolve
from fttui_engine.spec.nodes import Scalar
from fttui_engine.spec.spellings import OLD_KEYS, OLD_VALUES, OPPOSITES, SWITCHES
from fttui_engine.spec.values import convert

FIELD_TYPES = {
    "text": str,
    "path": str,
    "choice": str,
    "flag": bool,
    "whole": int,
    "number": float,
    "interval": float,
    "amount": float,
    "texts": tuple[str, ...],
    "settings": dict[str, typing.Any],
}
# Keys that LLaMA-Factory has beside those of transformers; a sample of each of its groups.
OF_LLAMA_FACTORY = """
adapter_name_or_path flash_attn rope_scaling use_unsloth quantization_bit quantization_method double_quantization
image_max_pixels export_dir vllm_maxlen sglang_config use_kt template mix_strategy neat_packing tool_format
enable_thinking tokenized_path pure_bf16 use_dft_loss freeze_trainable_layers loraplus_lr_ratio pissa_init oft_rank
pref_beta kto_chosen_weight simpo_gamma ppo_epochs reward_model use_galore apollo_rank badam_mode use_swanlab
ray_num_workers fp8 enable_torch_profiler overwrite_output_dir predict_with_generate do_sample max_new_tokens
evaluation_strategy save_safetensors group_by_length no_cuda use_mps_device per_gpu_train_batch_size adafactor
checkpoint_dir cache_path visual_inputs warmup_ratio resume_from_checkpoint
"""


def everything_known() -> set[str]:
    return {*KEYS, *known_names(), *OLD_KEYS, *OPPOSITES, *(old for old, _ in SWITCHES)}


def test_the_worker_sees_every_key_with_the_type_of_its_kind() -> None:
    keys = {name: key for name, key in KEYS.items() if not name.startswith("run.")}
    types = typing.get_type_hints(TrainingConfig)
    assert set(types) == set(keys)
    for name, key in keys.items():
        kind = FIELD_TYPES[key.kind]
        assert types[name] in (kind, kind | None), name


def test_defaults_of_the_worker_are_those_of_the_table() -> None:
    config = resolve(None, overrides=["model_name_or_path=demo:tiny", "dataset=demo:instructions"]).config
    assert config is not None
    for field in dataclasses.fields(TrainingConfig):
        if field.default is not dataclasses.MISSING and field.name not in ("dataset_dir",):
            assert getattr(config, field.name) == field.default, field.name


def test_every_argument_of_transformers_is_known() -> None:
    package = PathFinder.find_spec("transformers")
    assert package is not None
    assert package.origin is not None
    # Read and not imported: importing it takes seconds and is the worker's business.
    tree = ast.parse((Path(package.origin).parent / "training_args.py").read_text())
    (definition,) = (
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments"
    )
    names = {
        node.target.id
        for node in definition.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert len(names) > 100
    assert names - everything_known() == set()


def test_keys_of_llama_factory_are_known() -> None:
    assert set(OF_LLAMA_FACTORY.split()) - everything_known() == set()


def test_no_name_stands_in_two_tables() -> None:
    names = [*KEYS, *known_names()]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
    assert set(OLD_KEYS) & set(names) == set()


def test_translations_lead_to_something_that_is_known() -> None:
    current = {*KEYS, *known_names()}
    assert {new for new, _ in OLD_KEYS.values()} <= current
    for (name, _), (value, _) in OLD_VALUES.items():
        assert name in current
        if name in KEYS:
            convert(KEYS[name], Scalar(value, 1))


@pytest.mark.parametrize(
    ("line", "new_line", "why"),
    [
        ("evaluation_strategy: steps", "eval_strategy", "transformers"),
        ("no_cuda: true", "use_cpu", "transformers"),
        ("disable_gradient_checkpointing: true", "gradient_checkpointing: false", "one key"),
        ("disable_gradient_checkpointing: false", "gradient_checkpointing: true", "one key"),
        ("quantization_method: bitsandbytes", "quantization_method: bnb", "0.9.3"),
        ("optim: adamw_hf", "optim: adamw_torch", "AdamW"),
        ("attn_implementation: flash_attention_2", "flash_attn: fa2", "name"),
        ("flash_attn: off", "flash_attn: disabled", "renamed"),
        ("lora_target_modules: [q_proj]", "lora_target", "name"),
        ("checkpoint_dir: x", "adapter_name_or_path", "renamed"),
        ("load_in_4bit: true", "quantization_bit: 4", "one key"),
        ("bnb_4bit_quant_type: fp4", "quantization_type", "name"),
        ("adafactor: true", "optim: adafactor", "name"),
        ("per_gpu_train_batch_size: 2", "per_device_train_batch_size", "old name"),
    ],
)
def test_old_spellings_are_translated_and_explained(
    line: str, new_line: str, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"seed: 1\n{line}\n")
    (translated,) = resolve(path).findings.translated
    assert translated.new == new_line
    assert why in translated.why
    assert translated.line == 2


@pytest.mark.parametrize(
    "line",
    ["use_badam: true", "use_mca: true",
     "use_galore: true", "resume_from_checkpoint: checkpoint-5",
     "save_strategy: best", "use_asft_loss: true", "do_train: false"],
)  # fmt: skip
def test_what_would_train_something_else_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"model_name_or_path: demo:tiny\ndataset: demo:instructions\n{line}\n")
    (error,) = resolve(path).findings.errors
    assert error.line == 3
    assert "later release" in error.message or "fttui resume" in error.message or "do_train" in error.message


@pytest.mark.parametrize(
    "line",
    ["quantization_bit: null", "deepspeed:", "packing: false", "use_muon: false", "fsdp: ''", "fsdp: []",
     "mix_strategy: concat", "resume_from_checkpoint: null", "train_sampling_strategy: random",
     "ignore_pad_token_for_loss: true", "moe_aux_loss_coef: 0.0"],
)  # fmt: skip
def test_a_refused_key_that_asks_for_nothing_is_no_error(line: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"model_name_or_path: demo:tiny\ndataset: demo:instructions\n{line}\n")
    assert resolve(path).findings.errors == []


def test_ignored_keys_are_named_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "model_name_or_path: demo:tiny\ndataset: demo:instructions\nplot_loss: true\nlog_level: info\n"
    )
    resolved = resolve(path)
    assert resolved.ok
    assert [(item.key, item.line) for item in resolved.findings.ignored] == [
        ("plot_loss", 3),
        ("log_level", 4),
    ]
    assert all(item.why for item in resolved.findings.ignored)


@pytest.mark.parametrize(
    ("line", "is_named"),
    [
        ("save_only_model: false", False),
        ("save_only_model: true", True),
        ("overwrite_cache: true", False),
        ("save_safetensors: true", False),
        ("save_safetensors: false", True),
        ("average_tokens_across_devices: false", True),
        ("ddp_backend:", False),
        ("remove_unused_columns: false", False),
        ("log_level: passive", False),
        ("infer_backend: huggingface", False),
        ("infer_backend: vllm", True),
        ("dataloader_drop_last: true", True),
        ("local_rank: -1", False),
        ("freeze_vision_tower: true", True),
    ],
)
def test_an_ignored_key_is_named_only_where_it_asks_for_something(
    line: str, is_named: bool, tmp_path: Path
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"model_name_or_path: demo:tiny\ndataset: demo:instructions\n{line}\n")
    assert bool(resolve(path).findings.ignored) is is_named


def test_a_token_in_the_file_is_never_repeated(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("hf_hub_token: hf_abcdefgh\nhub_token: hf_abcdefgh\nswanlab_api_key: hf_abcdefgh\n")
    resolved = resolve(path)
    assert "hf_abcdefgh" not in repr(resolved.findings.__dict__)
    assert "hf_abcdefgh" not in repr(resolved.values)


def test_every_known_key_has_a_reason() -> None:
    for name in known_names():
        known = find_known(name)
        assert known is not None
        assert len(known.why) > 10, name
