"""Whole texts: read, marked, packed and split; nothing is lost and nothing is both learned and evaluated."""

import json

import numpy
import pytest

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.dataset import Splits, load_splits
from fttui_engine.train.errors import DataError
from fttui_engine.train.models.load import find_model, load_tokenizer
from fttui_engine.train.stages import stage_of

TEXTS = [f"Text {number}. " + "The sea lay grey and still. " * (number % 5 + 1) for number in range(20)]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def load(tokenizer, *datasets, log=lambda line: None, **values) -> Splits:
    config = TrainingConfig(
        model_name_or_path="demo:tiny", dataset=datasets, stage="pt", **{"cutoff_len": 32} | values
    )
    stage = stage_of(config)
    splits = load_splits(config, stage.reader(config, tokenizer), tokenizer, log, lambda: None)
    return stage.arrange(splits, config, log)


def all_tokens(examples):
    return numpy.concatenate([example.input_ids for example in examples]).tolist()


@pytest.mark.parametrize("column", ["text", "prompt"])
def test_texts_follow_each_other_in_full_examples_each_with_its_end(tokenizer, tmp_path, column):
    path = write(tmp_path / "texts.jsonl", [{column: text} for text in TEXTS])
    examples = load(tokenizer, path).train
    assert {len(example.input_ids) for example in examples[:-1]} == {32}
    assert 2 <= len(examples[-1].input_ids) <= 32
    assert all((example.labels == example.input_ids).all() for example in examples)
    tokens = all_tokens(examples)
    assert tokens.count(tokenizer.eos_token_id) == len(TEXTS)
    assert tokenizer.decode(tokens) == "".join(text + tokenizer.eos_token for text in TEXTS)


def test_without_packing_each_text_is_an_example_of_its_own(tokenizer, tmp_path):
    path = write(tmp_path / "texts.jsonl", [{"text": text} for text in TEXTS])
    lines = []
    examples = load(tokenizer, path, packing=False, log=lines.append).train
    assert len(examples) == len(TEXTS)
    assert max(len(example.input_ids) for example in examples) == 32
    assert any("cut to 32 tokens" in line for line in lines)


def test_no_text_is_learned_and_evaluated(tokenizer, tmp_path):
    path = write(tmp_path / "texts.jsonl", [{"text": text} for text in TEXTS])
    train, evaluation = load(tokenizer, path, val_size=5)
    learned, evaluated = (tokenizer.decode(all_tokens(part)) for part in (train, evaluation))
    assert [(text in learned, text in evaluated) for text in TEXTS].count((True, False)) == 15
    assert [(text in learned, text in evaluated) for text in TEXTS].count((False, True)) == 5


def test_a_column_of_another_name_and_empty_texts(tokenizer, tmp_path):
    write(tmp_path / "texts.jsonl", [{"body": "One."}, {"body": ""}, {"body": None}, {"body": "Two."}])
    info = {"mine": {"file_name": "texts.jsonl", "columns": {"prompt": "body"}}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    lines = []
    examples = load(tokenizer, "mine", dataset_dir=str(tmp_path), log=lines.append).train
    end = tokenizer.eos_token
    assert tokenizer.decode(all_tokens(examples)) == f"One.{end}Two.{end}"
    assert "2 of 4 records used, 2 dropped (empty text)" in lines[0]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"instruction": "a", "output": "b"}, "has no texts; its columns are instruction, output"),
        ({"text": ["a"]}, "line 1: text must be a text"),
    ],
)
def test_what_is_no_text_is_named(tokenizer, tmp_path, row, words):
    with pytest.raises(DataError) as error:
        load(tokenizer, write(tmp_path / "texts.jsonl", [row]))
    assert words in error.value.message
    assert error.value.hint


def test_conversations_are_not_taken_for_texts(tokenizer, tmp_path):
    write(tmp_path / "chats.jsonl", [{"conversations": []}])
    info = {"chats": {"file_name": "chats.jsonl", "formatting": "sharegpt"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match="holds conversations") as error:
        load(tokenizer, "chats", dataset_dir=str(tmp_path))
    assert error.value.hint == "use stage: sft"


def test_a_tokenizer_that_begins_each_text_with_a_mark_keeps_it(tokenizer, tmp_path):
    """As Gemma's and Llama's do; without it Gemma's loss is several times as high."""
    import copy

    from tokenizers.processors import TemplateProcessing

    marked = copy.deepcopy(tokenizer)
    mark = marked.convert_ids_to_tokens(5)
    marked.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{mark} $A", special_tokens=[(mark, 5)]
    )
    examples = load(marked, write(tmp_path / "texts.jsonl", [{"text": "One."}] * 2)).train
    tokens = all_tokens(examples)
    assert tokens == ([5, *tokenizer("One.")["input_ids"], tokenizer.eos_token_id]) * 2


def test_a_base_model_needs_no_chat_template_to_learn_texts(tmp_path, tiny_model):
    for file in tiny_model.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    config = TrainingConfig(model_name_or_path=str(tmp_path), dataset=("x",))
    lines = []
    assert load_tokenizer(find_model(config), lines.append, for_chat=False).chat_template is None
    assert lines == []
