"""The counts behind the memory prediction, against the real models and adapters (made without memory, on ``meta``)."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, OFTConfig, TaskType, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from fttui_engine.spec.memory.model_config import DEMO_CONFIG, read_model_config
from fttui_engine.spec.memory.model_shape import ModelShape
from fttui_engine.spec.memory.shape_reading import EXPERT_TYPES, KNOWN_TYPES, read_shape
from fttui_engine.spec.memory.trained_weights import adapter_weights, rotation_weights

SIZES = {
    "vocab_size": 1000,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    # Of those that have experts.
    "num_experts": 6,
    "num_local_experts": 6,
    "moe_intermediate_size": 48,
    "shared_expert_intermediate_size": 80,
}
CASES = [
    *((model_type, {}) for model_type in KNOWN_TYPES + EXPERT_TYPES),
    ("qwen2_moe", {"qkv_bias": False}),
    ("qwen3_moe", {"attention_bias": True, "head_dim": 32}),
    *((model_type, {"tie_word_embeddings": True}) for model_type in KNOWN_TYPES),
    *((model_type, {"tie_word_embeddings": False}) for model_type in KNOWN_TYPES),
    ("llama", {"attention_bias": True, "mlp_bias": True}),
    ("llama", {"num_key_value_heads": 8, "head_dim": 24}),
    ("mistral", {"head_dim": 32}),
    ("qwen3", {"head_dim": 32, "attention_bias": True}),
    ("gemma2", {"head_dim": 32, "attention_bias": True}),
]


def made(
    model_type: str, changes: dict[str, Any], folder: Path, device: str = "meta"
) -> tuple[Any, ModelShape]:
    """A model without memory, and the shape that is read from the config.json that it would be saved with."""
    config = AutoConfig.for_model(model_type, **(SIZES | changes))
    config.save_pretrained(folder)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config)
    return model, read_shape(read_model_config(str(folder), "main", None))


def count(weights: Any) -> int:
    return sum(weight.numel() for weight in weights)


@pytest.mark.parametrize(("model_type", "changes"), CASES)
def test_weights_are_counted_exactly(model_type: str, changes: dict[str, Any], tmp_path: Path) -> None:
    model, shape = made(model_type, changes, tmp_path)
    assert shape.total_weights == count(model.parameters())
    linears = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    ]
    assert shape.linear_weights == count(linear.weight for linear in linears)


@pytest.mark.parametrize(("model_type", "changes"), CASES)
@pytest.mark.parametrize("rank", [1, 16])
def test_adapters_on_all_layers_are_counted_exactly(
    model_type: str, changes: dict[str, Any], rank: int, tmp_path: Path
) -> None:
    model, shape = made(model_type, changes, tmp_path)
    assert adapter_weights(shape, rank, ("all",), ()).adapter_weights == trained(model, rank, "all-linear")


@pytest.mark.parametrize(
    ("model_type", "targets"),
    [
        ("mixtral", ("q_proj", "v_proj")),
        ("mixtral", ("q_proj", "w1", "w2", "w3")),
        ("qwen3_moe", ("q_proj", "gate_proj", "up_proj", "down_proj")),
        ("qwen2_moe", ("q_proj", "gate_proj", "up_proj", "down_proj")),
    ],
)
def test_adapters_on_experts_are_counted_as_peft_counts_them(
    model_type: str, targets: tuple[str, ...], tmp_path: Path
) -> None:
    model, shape = made(model_type, {}, tmp_path)
    assert adapter_weights(shape, 4, targets, ()).adapter_weights == trained(model, 4, list(targets))


@pytest.mark.parametrize(
    ("targets", "modules"),
    [
        (("q_proj", "v_proj"), ()),
        (("self_attn.o_proj", "mlp.down_proj"), ()),
        (("layers.1.mlp.up_proj",), ()),
        (("q_proj", "lm_head"), ()),
        (("q_proj",), ("embed_tokens", "lm_head")),
        (("q_proj",), ("lm_head",)),
    ],
)
@pytest.mark.parametrize("tied", [True, False])
def test_chosen_layers_are_counted_as_peft_counts_them(
    targets: tuple[str, ...], modules: tuple[str, ...], tied: bool, tmp_path: Path
) -> None:
    # On meta, peft would not tie what is tied.
    model, shape = made("llama", {"tie_word_embeddings": tied}, tmp_path, "cpu")
    ours = adapter_weights(shape, 4, targets, modules)
    assert ours.adapter_weights + ours.module_weights == trained(
        model, 4, list(targets), list(modules) or None
    )


@pytest.mark.parametrize(("blocks", "width"), [(0, 32), (0, 8), (4, 32)])
@pytest.mark.parametrize("targets", [("all",), ("q_proj", "down_proj")])
def test_rotations_are_counted_as_peft_counts_them(
    blocks: int, width: int, targets: tuple[str, ...], tmp_path: Path
) -> None:
    model, shape = made("llama", {}, tmp_path)
    oft = OFTConfig(
        task_type=TaskType.CAUSAL_LM,
        r=blocks,
        oft_block_size=0 if blocks else width,
        target_modules="all-linear" if targets == ("all",) else list(targets),
    )
    real = count(weight for weight in get_peft_model(model, oft).parameters() if weight.requires_grad)
    assert rotation_weights(shape, blocks, width, targets).adapter_weights == real


def test_the_demo_model_is_the_one_that_is_predicted(tiny_model: Path) -> None:
    real = json.loads((tiny_model / "config.json").read_text())
    assert read_shape(real) == read_shape(dict(DEMO_CONFIG))


def trained(model: Any, rank: int, targets: str | list[str], modules: list[str] | None = None) -> int:
    lora = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=rank,
        target_modules=targets,
        modules_to_save=modules,
        ensure_weight_tying=bool(modules and model.config.tie_word_embeddings),
    )
    adapted = get_peft_model(model, lora)
    return count(weight for weight in adapted.parameters() if weight.requires_grad)
