"""What the worker would find out after half a minute is said before the start, where files alone tell."""

import json
from pathlib import Path

import pytest

from fttui_engine.spec.load import resolve


def errors_of(folder: Path, *overrides: str) -> dict[str, str]:
    base = ["model_name_or_path=demo:tiny", "use_cpu=true", "eval_strategy=steps"]
    base += [] if any(each.startswith("dataset=") for each in overrides) else ["dataset=demo:instructions"]
    found = resolve(None, overrides=[*base, *overrides], cwd=folder).findings
    return {error.key: error.message for error in found.errors}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (
            "q_proj,v_prj",
            "names 'v_prj', which no layer of this llama model is called; they are q_proj, k_proj",
        ),
        ("query_key_value", "names 'query_key_value'"),
        ("proj", "names 'proj'"),
        ("layers.7.self_attn.q_proj", "names 'layers.7.self_attn.q_proj'"),
    ],
)
def test_an_adapter_on_a_layer_that_is_not_there(target: str, words: str, tmp_path: Path) -> None:
    assert words in errors_of(tmp_path, f"lora_target={target}", "val_size=0.1")["lora_target"]
    oft = errors_of(tmp_path, "finetuning_type=oft", f"oft_target={target}", "val_size=0.1")
    assert words in oft["oft_target"]


@pytest.mark.parametrize(
    "target", ["all", "q_proj,down_proj", "self_attn.q_proj", "layers.1.self_attn.q_proj", "embed_tokens"]
)
def test_an_adapter_on_layers_that_are_there(target: str, tmp_path: Path) -> None:
    assert errors_of(tmp_path, f"lora_target={target}", "val_size=0.1") == {}


def test_an_architecture_that_is_not_known_is_left_to_the_worker(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("tokenizer.json", "model.safetensors"):
        (folder / name).touch()
    (folder / "config.json").write_text(json.dumps({"model_type": "falcon"}))
    words = [f"model_name_or_path={folder}", "lora_target=query_key_value", "val_size=0.1"]
    assert "lora_target" not in errors_of(tmp_path, *words)


@pytest.mark.parametrize("form", ["data.jsonl", "lines.json", "list.json", "listed"])
def test_a_split_that_leaves_nothing_to_train_on(form: str, tmp_path: Path) -> None:
    records = [{"instruction": "a\u2028b", "output": "c"} for _ in range(5)]
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    for name in ("data.jsonl", "lines.json"):
        (tmp_path / name).write_text(text)
    (tmp_path / "list.json").write_text(json.dumps(records))
    info = {"listed": {"file_name": "data.jsonl"}, "drawn": {"file_name": "data.jsonl", "num_samples": 100}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    words = [f"dataset={form}", "dataset_dir=."]
    assert "5 of the 5 records" in errors_of(tmp_path, *words, "val_size=5")["val_size"]
    assert errors_of(tmp_path, *words, "val_size=4") == {}
    assert "2 of the 2" in errors_of(tmp_path, *words, "max_samples=2", "val_size=2")["val_size"]
    assert "1 of the 1" in errors_of(tmp_path, *words, "max_samples=1", "val_size=0.1")["val_size"]
    assert errors_of(tmp_path, f"dataset={form},drawn", "dataset_dir=.", "val_size=50") == {}
