"""Where models come from, what the demo makes, and what is said when there is none."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fttui_engine
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError
from fttui_engine.train.models.adapters import add_adapter
from fttui_engine.train.models.load import find_model, load_model, load_tokenizer


def config(name, **values):
    return TrainingConfig(model_name_or_path=str(name), dataset=("x",), **values)


def test_two_first_uses_at_once_make_the_same_model_once(tmp_path, tiny_model):
    environment = os.environ | {
        "FTTUI_HOME": str(tmp_path),
        "PYTHONPATH": str(Path(fttui_engine.__file__).parents[1]),
    }
    code = "from fttui_engine.train.demo import demo_model_path; print(demo_model_path())"
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    # DeepSpeed, where it is installed, says good day on stdout when transformers imports it.
    assert {process.communicate()[0].splitlines()[-1] for process in both} == {
        str(tmp_path / "demo" / "tiny")
    }
    assert os.listdir(tmp_path / "demo") == ["tiny"]
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        made, known = (folder / name for folder in (tmp_path / "demo" / "tiny", tiny_model))
        assert hashlib.sha256(made.read_bytes()).digest() == hashlib.sha256(known.read_bytes()).digest(), name


def test_a_hub_name_keeps_its_revision_and_cache():
    source = find_model(config("org/model", model_revision="v2", cache_dir="/cache"))
    assert source.name_or_path == "org/model"
    assert source.arguments == {"trust_remote_code": False, "revision": "v2", "cache_dir": "/cache"}


def test_a_gguf_file_or_the_folder_of_one(tmp_path):
    (tmp_path / "a.gguf").touch()
    for name in (tmp_path, tmp_path / "a.gguf"):
        source = find_model(config(name))
        assert source.name_or_path == str(tmp_path)
        assert source.arguments["gguf_file"] == "a.gguf"


@pytest.mark.parametrize(
    ("files", "name", "message"),
    [
        ((), "gone", "there is no model"),
        ((), "", "holds no model: it has no config.json"),
        (("a.gguf", "b.gguf"), "", "holds several models: a.gguf, b.gguf"),
        (("weights.bin",), "weights.bin", "is not a model"),
    ],
)
def test_what_is_no_model_is_said_before_anything_is_loaded(tmp_path, files, name, message):
    for file in files:
        (tmp_path / file).touch()
    with pytest.raises(ModelError) as error:
        find_model(config(tmp_path / name))
    assert message in error.value.message
    assert error.value.hint


def test_a_broken_folder_and_an_unreachable_hub_name_end_in_sentences(tmp_path, monkeypatch):
    # Without it the hub is asked again and again for 40 s.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "config.json").write_text("{}")
    for name in (tmp_path, "nobody/no-such-model"):
        with pytest.raises(ModelError) as error:
            load_tokenizer(find_model(config(name)), print)
        assert str(name) in error.value.message
        assert "\n" not in error.value.message
        assert error.value.hint


def test_a_base_model_without_template_gets_chatml_with_a_warning(tmp_path, tiny_model):
    for file in tiny_model.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    lines: list[str] = []
    tokenizer = load_tokenizer(find_model(config(tmp_path)), lines.append)
    assert "<|im_start|>" in tokenizer.chat_template
    assert "no chat template" in lines[0]


@pytest.mark.parametrize(
    ("values", "base", "adapter"),
    [
        ({}, "float32", "float32"),
        ({"bf16": True}, "bfloat16", "float32"),
        ({"fp16": True}, "float16", "float32"),
        ({"pure_bf16": True}, "bfloat16", "bfloat16"),
        ({"bf16": True, "additional_target": ("embed_tokens", "lm_head")}, "bfloat16", "float32"),
        ({"fp16": True, "additional_target": ("embed_tokens",)}, "float16", "float32"),
        ({"finetuning_type": "full", "bf16": True}, "float32", None),
    ],
)
def test_trained_weights_stay_in_float32_unless_asked_otherwise(tiny_model, values, base, adapter):
    settings = config(tiny_model, **values)
    model = load_model(settings, find_model(settings))
    assert str(model.dtype) == f"torch.{base}"
    if adapter:
        model = add_adapter(model, settings)
        assert {str(w.dtype) for w in model.parameters() if w.requires_grad} == {f"torch.{adapter}"}


def test_an_adapter_that_does_not_fit_names_the_keys(tiny_model):
    for targets in (("c_attn",), ("q_proj", "c_attn")):
        settings = config(tiny_model, lora_target=targets)
        with pytest.raises(ModelError, match="does not fit the model: lora_target names 'c_attn'") as error:
            add_adapter(load_model(settings, find_model(settings)), settings)
        assert "lora_target" in error.value.hint
        assert "q_proj" in error.value.hint
        assert "norm" not in error.value.hint


def test_an_additional_target_that_no_layer_is_called_is_named(tiny_model):
    settings = config(tiny_model, additional_target=("embed_token",))
    with pytest.raises(ModelError, match="additional_target names 'embed_token'") as error:
        add_adapter(load_model(settings, find_model(settings)), settings)
    assert "embed_tokens" in error.value.hint
