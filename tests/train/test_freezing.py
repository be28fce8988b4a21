"""Which weights are trained when some layers are."""

import dataclasses

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError
from fttui_engine.train.models.adapters import add_adapter
from fttui_engine.train.models.freezing import freeze
from fttui_engine.train.models.load import find_model, load_model


def frozen_model(tiny_model, **values):
    settings = TrainingConfig(
        model_name_or_path=str(tiny_model), dataset=("x",), finetuning_type="freeze", **values
    )
    model = load_model(settings, find_model(settings))
    freeze(model, settings)
    return model


def trained(model):
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def of_layer(model, number, part=""):
    names = dict(model.named_parameters())
    return {name for name in names if name.startswith(f"model.layers.{number}.{part}")}


def test_layers_are_counted_from_either_end(tiny_model):
    model = frozen_model(tiny_model, freeze_trainable_layers=1)
    last = model.config.num_hidden_layers - 1
    assert last >= 1
    assert trained(model) == of_layer(model, last) != set()
    assert trained(frozen_model(tiny_model, freeze_trainable_layers=-1)) == of_layer(model, 0)
    everything = frozen_model(tiny_model, freeze_trainable_layers=50)
    assert trained(everything) == {name for name in dict(model.named_parameters()) if ".layers." in name}


def test_parts_of_layers_and_modules_outside_them(tiny_model):
    model = frozen_model(
        tiny_model, freeze_trainable_layers=1, freeze_trainable_modules=("mlp", "self_attn.q_proj")
    )
    last = model.config.num_hidden_layers - 1
    assert trained(model) == of_layer(model, last, "mlp.") | of_layer(model, last, "self_attn.q_proj.")
    model = frozen_model(tiny_model, freeze_trainable_layers=0, freeze_extra_modules=("norm",))
    assert trained(model) == {"model.norm.weight"}


@pytest.mark.parametrize(
    ("values", "frozen_dtype", "trained_dtype"),
    [
        ({}, torch.float32, torch.float32),
        ({"bf16": True}, torch.bfloat16, torch.float32),
        ({"pure_bf16": True}, torch.bfloat16, torch.bfloat16),
    ],
)
def test_trained_layers_are_in_float32_unless_asked_otherwise(
    tiny_model, values, frozen_dtype, trained_dtype
):
    model = frozen_model(tiny_model, freeze_trainable_layers=1, **values)
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {trained_dtype}
    assert {weight.dtype for weight in model.parameters() if not weight.requires_grad} == {frozen_dtype}


@pytest.mark.parametrize(
    ("key", "name", "known"),
    [("freeze_trainable_modules", "attention", "self_attn"), ("freeze_extra_modules", "wte", "embed_tokens")],
)
def test_a_module_that_is_not_there_is_answered_with_those_that_are(tiny_model, key, name, known):
    with pytest.raises(ModelError) as error:
        frozen_model(tiny_model, **{key: (name,)})
    assert key in error.value.message
    assert name in error.value.message
    assert known in error.value.hint


@pytest.mark.parametrize("method", ["freeze", "lora"])
def test_of_llama_pro_the_added_layers_are_trained(tiny_model, method):
    sizes = {"num_hidden_layers": 6, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    settings = TrainingConfig(
        model_name_or_path=str(tiny_model),
        dataset=("x",),
        finetuning_type=method,
        freeze_trainable_layers=2,
        use_llama_pro=True,
    )
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny_model, **sizes))
    if method == "freeze":
        freeze(model, settings)
    else:
        model = add_adapter(model, settings)
    # LLaMA-Factory's range(stride - 1, layers + stride - 1, stride).
    assert {name.partition("layers.")[2][0] for name in trained(model)} == {"2", "5"}
    with pytest.raises(ModelError, match="6 layers of the model are not 4 groups"):
        freeze(model, dataclasses.replace(settings, freeze_trainable_layers=4))
