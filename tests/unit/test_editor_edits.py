"""Changing one key of a text: comments, order and every other key stay, and undo gives back the same text."""

import random
import re

import pytest

from fttui.editor.edits import NotEditableError, bare, set_key, unset_key, written_entries
from fttui.editor.history import History
from fttui.editor.written import shown, shown_value, typed_as_yaml, value_as_yaml
from fttui_engine.spec.document import parse_document
from fttui_engine.spec.keys import KEYS
from fttui_engine.spec.nodes import Scalar
from fttui_engine.spec.profiles import profiles_folder
from fttui_engine.spec.values import MismatchError, convert

HAND_WRITTEN = """\
# A file as people write them.

### model
model_name_or_path: meta-llama/Llama-3.1-8B   # 16 GB
lr: 1e-4  # an old name

dataset:  # mine
  # the first one is small
  - a # why
  - b # last
default_system: |
  You are # helpful.
  Really.
# about the run
run:
  gpus: 1
  # keep this
  restart: {max: 1}   # once
# the end"""
QUOTED = 'stage: "sft"   # "quoted"\ndefault_system: \'it # is\'  # not a comment before\nlora_rank:    8\n'
JSON = '{\n  "model_name_or_path": "x",\n  "lora_rank": 8,\n  "run": {"gpus": 1}\n}\n'
TEXTS = [HAND_WRITTEN, QUOTED, "", "# nothing but this\n", "run:\n  gpus: none\n", "lora_rank: 8"]

VALUES = {
    "model_name_or_path": ["demo:tiny", "x/y"],
    "learning_rate": ["2e-4", "1.0e-5"],
    "dataset": ["demo:instructions", "[a, c]", "a,b"],
    "lora_rank": ["4", "64"],
    "default_system": ['"a: b"', "short"],
    "gradient_checkpointing": ["true", "false"],
    "save_steps": ["10", "0.5"],
    "run.gpus": ["none", "[0, 1]"],
    "run.name": ["demo"],
    "run.restart.max": ["3"],
    "run.restart.on_oom": ["shrink"],
    "run.environment": ["{A: b}"],
}
COMMENT = re.compile(r"(?:^|\s)#\s?([^#\n]*)$", re.MULTILINE)


def comments_of(text: str) -> list[str]:
    return [found.strip() for found in COMMENT.findall(text) if "helpful" not in found]


def profiles() -> list[str]:
    return [path.read_text() for path in sorted(profiles_folder().glob("*.yaml"))]


@pytest.mark.parametrize("number", range(40))
def test_any_number_of_edits_keeps_comments_and_other_keys_and_undo_leads_back(number):
    dice = random.Random(number)
    start = dice.choice([*TEXTS, *profiles()])
    history, text = History(start), start
    for _ in range(25):
        name = dice.choice(list(VALUES))
        before = {key: bare(entry.node) for key, entry in written_entries(text).items()}
        comments = comments_of(text)
        if dice.random() < 0.7:
            value = dice.choice(VALUES[name])
            text = set_key(text, name, value)
            assert comments_of(text) == comments, (name, value)
            assert name in written_entries(text)
        elif name in before:
            shorter = unset_key(text, name)
            gone = [each for each in comments if each not in comments_of(shorter)]
            # Only comments in the lines of the key itself go with it.
            assert all(
                any(each in line for line in set(text.split("\n")) - set(shorter.split("\n")))
                for each in gone
            )
            text = shorter
        after = {key: bare(entry.node) for key, entry in written_entries(text).items()}
        assert {**before, name: 0} == {**after, name: 0}
        history.change(text, name)
    while history.undo():
        pass
    assert history.text == start
    while history.redo():
        pass
    assert history.text == text


def test_a_value_is_replaced_where_it_stands_and_nothing_else_moves():
    text = set_key(HAND_WRITTEN, "model_name_or_path", "demo:tiny")
    assert text == HAND_WRITTEN.replace("meta-llama/Llama-3.1-8B", "demo:tiny")
    assert set_key(QUOTED, "lora_rank", "16") == QUOTED.replace("    8", "    16")


def test_a_list_over_several_lines_becomes_one_line_and_its_comments_follow():
    text = set_key(HAND_WRITTEN, "dataset", "[a, c]")
    assert "dataset: [a, c]  # mine\n  # the first one is small\n  # why\n  # last\n" in text


def test_an_old_spelling_gets_todays_name_when_it_is_changed():
    assert "learning_rate: 2e-4  # an old name" in set_key(HAND_WRITTEN, "learning_rate", "2e-4")
    assert (
        set_key("stage: orpo # both\n", "pref_loss", "sigmoid") == "stage: dpo # both\npref_loss: sigmoid\n"
    )
    assert set_key("load_in_4bit: true\n", "quantization_bit", "8") == "quantization_bit: 8\n"
    assert unset_key("bits: 4\nlora_r: 8\n", "quantization_bit") == "lora_r: 8\n"


def test_a_key_that_was_given_twice_is_there_once_when_it_was_changed():
    text = "lora_rank: 8\nseed: 1\nlora_rank: 16\n"
    assert set_key(text, "lora_rank", "4") == "seed: 1\nlora_rank: 4\n"
    assert unset_key(text, "lora_rank") == "seed: 1\n"


def test_a_new_key_stands_beside_those_of_its_group():
    text = "stage: sft\nlora_rank: 8\n\n# data\ndataset: a\n\nlearning_rate: 1e-4\n"
    assert "lora_rank: 8\nlora_dropout: 0.1\n" in set_key(text, "lora_dropout", "0.1")
    assert "dataset: a\ncutoff_len: 99\n" in set_key(text, "cutoff_len", "99")
    assert set_key(text, "run.gpus", "none").endswith("learning_rate: 1e-4\n\nrun:\n  gpus: none\n")


def test_json_stays_json():
    import json

    text = set_key(set_key(JSON, "run.restart.max", "3"), "optim", "sgd")
    assert json.loads(text) == {
        "model_name_or_path": "x",
        "lora_rank": 8,
        "run": {"gpus": 1, "restart": {"max": 3}},
        "optim": "sgd",
    }
    assert json.loads(unset_key(text, "lora_rank"))["run"] == {"gpus": 1, "restart": {"max": 3}}


def test_what_the_form_cannot_change_is_refused_with_its_line_and_what_to_do():
    text = "seed: 1\nevaluation:\n  metrics: [accuracy]\n"
    with pytest.raises(NotEditableError, match="compute_accuracy is written in line 3") as caught:
        set_key(text, "compute_accuracy", "false")
    assert "ctrl+t" in caught.value.hint


def test_a_key_in_a_block_of_another_project_is_changed_in_its_place():
    text = "training:\n  learning_rate: 1e-4  # theirs\n  seed: 1\n"
    assert set_key(text, "learning_rate", "2e-4") == text.replace("1e-4", "2e-4")


@pytest.mark.parametrize(
    ("name", "typed", "written"),
    [
        ("learning_rate", "1e-4", "1e-4"),
        ("default_system", "You are: helpful # yes", '"You are: helpful # yes"'),
        ("default_system", '"a\\nb"', '"a\\nb"'),
        ("default_system", "yes", "yes"),
        ("model_name_or_path", "demo:tiny", "demo:tiny"),
        ("model_name_or_path", "* odd", '"* odd"'),
        ("dataset", "a, b", "a, b"),
        ("dataset", "[a, b]", "[a, b]"),
        ("run.environment", "{A: 1}", "{A: 1}"),
        ("lora_rank", "null", "null"),
    ],
)
def test_what_is_typed_is_written_so_that_yaml_reads_the_same(name, typed, written):
    assert typed_as_yaml(KEYS[name], typed) == written


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("lora_rank", "x"),
        ("lora_rank", "8 # small"),
        ("learning_rate", "1,5"),
        ("stage", "sf"),
        ("run.command", "python train.py"),
        ("run.gpus", "[0,"),
        ("dataset", "a: b: c"),
    ],
)
def test_what_cannot_be_is_said_while_it_is_typed(name, typed):
    with pytest.raises(MismatchError):
        typed_as_yaml(KEYS[name], typed)


def test_every_default_survives_being_shown_and_typed_again():
    for key in KEYS.values():
        if key.default is not None:
            typed = typed_as_yaml(key, shown_value(key.default))
            node = parse_document(f"key: {typed}").entries[0][1]
            assert convert(key, node) == key.default, key.name


@pytest.mark.parametrize(
    "text", ["null", "a: b", "# c", "[x]", "-", "demo:tiny", "a b", "", "ä\n\x1b", "'", "{"]
)
def test_any_text_is_written_so_that_it_is_read_back(text):
    node = parse_document(f"key: {value_as_yaml(text)}").entries[0][1]
    assert isinstance(node, Scalar)
    assert node.text == text
    assert not node.is_null
    inside = parse_document(f"key: {value_as_yaml([text])}").entries[0][1]
    assert parse_document(f"key: {shown(inside)}").entries[0][1].items[0].text == text


def test_letters_of_a_word_are_one_step_and_another_line_is_another():
    history = History("")
    for text in ("a", "ab", "abc"):
        history.change(text, "line 1", joins=True)
    history.change("abc\nd", "line 2", joins=True)
    history.change("x", "lora_rank")
    assert [history.undo().text, history.undo().text, history.undo().text] == ["abc\nd", "abc", ""]
    assert history.undo() is None
    history.change("new", "line 1")
    assert history.redo() is None
