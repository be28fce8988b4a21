"""GGUF files of each family that is offered, read back by transformers; the others are refused in words."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch

from fttui_engine.spec.memory.model_config import read_model_config
from fttui_engine.spec.memory.model_shape import UnknownShapeError
from fttui_engine.spec.memory.shape_reading import read_shape
from fttui_engine.train.errors import ModelError
from fttui_engine.train.inference import gguf as writing
from fttui_engine.train.inference.gguf import write_gguf

SHAPE = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.2,
}  # fmt: skip


def model_folder(family: str, tokenizer: Any, folder: Path, **changes: Any) -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM

    config: Any = AutoConfig.for_model(
        family,
        vocab_size=len(tokenizer) + 5,
        eos_token_id=2,
        bos_token_id=None,
        pad_token_id=0,
        **SHAPE | changes,
    )
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)
    model.save_pretrained(folder / "exported")
    tokenizer.save_pretrained(folder / "exported")
    return folder / "exported"


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {}),
        ("mistral", {"tie_word_embeddings": True}),
        ("qwen2", {"dtype": torch.bfloat16}),
        ("qwen3", {"head_dim": 32, "dtype": torch.float16}),
    ],
)
def test_the_file_holds_the_model_its_tokenizer_and_its_template(
    family: str, changes: dict[str, Any], tokenizer: Any, tmp_path: Path
) -> None:
    from gguf import GGUFReader
    from transformers import AutoTokenizer

    # Verified inside: same tokens, same logits, read back by transformers' own reader.
    exported = model_folder(family, tokenizer, tmp_path, **changes)
    path = write_gguf(exported)
    assert path.name == "exported.gguf"
    # GGUF knows no mistral: its sizes are those of a llama.
    shape = read_shape(read_model_config(str(exported), "main", None))
    read = read_shape(read_model_config(str(path), "main", None))
    assert read == shape._replace(model_type=read.model_type, attention_dropout=read.attention_dropout)
    again: Any = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    text = "Don't count 12345, <|im_end|> caf\u00e9!"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    template: Any = GGUFReader(path).get_field("tokenizer.chat_template")
    assert template.contents() == tokenizer.chat_template
    assert not [each for each in path.parent.iterdir() if each.name.startswith(".")]


def test_of_a_damaged_header_nothing_is_said(tokenizer: Any, tmp_path: Path) -> None:
    path = write_gguf(model_folder("llama", tokenizer, tmp_path))
    whole = path.read_bytes()
    for place in range(0, 2000, 7):
        # A length or a type becomes nonsense; names may, too.
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(UnknownShapeError):
            read_shape(read_model_config(str(path), "main", None))
    for size in (0, 3, 20, 500):
        path.write_bytes(whole[:size])
        with pytest.raises(UnknownShapeError, match="GGUF"):
            read_model_config(str(path), "main", None)


def test_a_file_that_is_not_the_model_is_not_left_behind(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_folder("llama", tokenizer, tmp_path)
    # What the permutation of queries and keys is for.
    monkeypatch.setattr(writing, "_interleaved", lambda weight, heads: weight)
    with pytest.raises(ModelError, match="not the exported model"):
        write_gguf(folder)
    assert not list(folder.glob("*.gguf")) + list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("family", "changes", "words"),
    [
        ("gpt_neox", {}, "gpt_neox"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
            "linear",
        ),
    ],
)
def test_what_is_not_offered_is_said_with_the_way_out(
    family: str, changes: dict[str, Any], words: str, tokenizer: Any, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=words) as raised:
        write_gguf(model_folder(family, tokenizer, tmp_path, **changes))
    assert "convert_hf_to_gguf.py" in raised.value.hint
