"""Adapters on base weights in 4 and 8 bits, with the real bitsandbytes on the CPU."""

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError
from fttui_engine.train.models.adapters import add_adapter
from fttui_engine.train.models.load import describe, find_model, load_model


def config(model, **values):
    return TrainingConfig(model_name_or_path=str(model), dataset=("x",), use_cpu=True, **values)


def packed_model(tiny_model, **values):
    settings = config(tiny_model, **values)
    return add_adapter(load_model(settings, find_model(settings)), settings)


def packed_layers(model):
    # peft's layers around them have the same names.
    return [module for module in model.modules() if isinstance(module, (Linear4bit, Linear8bitLt))]


@pytest.mark.parametrize(
    ("values", "computed_in"),
    [
        ({}, torch.float32),
        ({"bf16": True}, torch.bfloat16),
        ({"pure_bf16": True}, torch.bfloat16),
        ({"fp16": True}, torch.float16),
        ({"quantization_type": "fp4", "double_quantization": False}, torch.float32),
    ],
)
def test_four_bit_weights_are_packed_as_asked_under_an_adapter_in_float32(tiny_model, values, computed_in):
    model = packed_model(tiny_model, quantization_bit=4, **values)
    layers = packed_layers(model)
    # Two blocks or more of seven linear layers each; the head stays as it is.
    assert len(layers) >= 14
    assert len(layers) % 7 == 0
    for layer in layers:
        state = layer.weight.quant_state
        assert (state.quant_type, state.nested, layer.compute_dtype) == (
            values.get("quantization_type", "nf4"),
            values.get("double_quantization", True),
            computed_in,
        )
        assert not layer.weight.requires_grad
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}


def test_the_log_counts_weights_and_not_bytes(tiny_model):
    plain = packed_model(tiny_model)
    total = f"{sum(weight.numel() for weight in plain.parameters()) / 1e6:.1f} million weights"
    assert f"{total}," in describe(plain)
    for bits in (4, 8):
        model = packed_model(tiny_model, quantization_bit=bits)
        assert f"{total} ({bits} bit)," in describe(model)
        assert packed_layers(model)


def test_the_vocabulary_can_be_trained_beside_packed_layers(tiny_model):
    model = packed_model(
        tiny_model, quantization_bit=4, fp16=True, additional_target=("embed_tokens", "lm_head")
    )
    trained = {name: weight.dtype for name, weight in model.named_parameters() if weight.requires_grad}
    assert any("embed_tokens" in name for name in trained)
    assert set(trained.values()) == {torch.float32}


@pytest.mark.parametrize("bits", [4, 8])
def test_an_evaluation_leaves_the_packed_weights_as_they_were(tiny_model, bits):
    """On a CPU with AVX512-BF16 bitsandbytes would repack them, without a gradient; elsewhere nothing happens."""
    model = packed_model(tiny_model, quantization_bit=bits, bf16=True)
    input_ids = torch.arange(40, 72).view(1, -1)

    def loss_and_gradients():
        model.train().zero_grad()
        # The model has dropout.
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=input_ids, labels=input_ids).loss
        loss.backward()
        return loss.item(), [weight.grad.clone() for weight in model.parameters() if weight.requires_grad]

    loss, gradients = loss_and_gradients()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        model.eval()(input_ids=input_ids)
    later_loss, later_gradients = loss_and_gradients()
    assert later_loss == loss
    # B begins at zero, so that only its own gradient is not.
    assert any(gradient.any() for gradient in gradients)
    assert all(map(torch.equal, later_gradients, gradients))


def test_a_gguf_model_is_not_packed_again(tmp_path):
    (tmp_path / "m.gguf").touch()
    settings = config(tmp_path / "m.gguf", quantization_bit=4)
    with pytest.raises(ModelError, match="GGUF model") as error:
        load_model(settings, find_model(settings))
    assert "quantization_bit" in error.value.hint


def test_a_packed_layer_cannot_be_trained_in_full(tiny_model):
    with pytest.raises(ModelError) as error:
        packed_model(tiny_model, quantization_bit=4, additional_target=("q_proj",))
    assert "additional_target" in error.value.hint
