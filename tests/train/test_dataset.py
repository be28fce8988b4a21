"""From files to batches: the evaluation split, the account in the log, padding, and a stop in between."""

import json

import pytest

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.batches import Collator
from fttui_engine.train.data.dataset import Splits, load_splits, split
from fttui_engine.train.errors import DataError, StopRequestedError
from fttui_engine.train.stages import stage_of


def load(config, tokenizer, log, check_stop) -> Splits:
    stage = stage_of(config)
    splits = load_splits(config, stage.reader(config, tokenizer), log, check_stop)
    return stage.arrange(splits, config, log)


def config(path, **values):
    return TrainingConfig(model_name_or_path="demo:tiny", dataset=(str(path),), cutoff_len=40, **values)


@pytest.fixture
def records(tmp_path):
    def make(name="data.jsonl", answers=("one", "two", "three")):
        path = tmp_path / name
        path.write_text("".join(json.dumps({"prompt": "Count.", "completion": a}) + "\n" for a in answers))
        return path

    return make


def never() -> None:
    """No stop has been asked for."""


@pytest.mark.parametrize(("val_size", "count"), [(0, 0), (0.1, 2), (0.001, 1), (5, 5)])
def test_split_by_number_or_fraction(val_size, count):
    examples = list(range(20))
    train, evaluation = split(examples, val_size, seed=1)
    assert len(evaluation) == count
    assert sorted(train + evaluation) == examples


def test_split_depends_on_the_seed_only():
    examples = list(range(100))
    assert split(examples, 0.2, seed=1) == split(examples, 0.2, seed=1)
    assert split(examples, 0.2, seed=1) != split(examples, 0.2, seed=2)


def test_a_split_that_leaves_nothing_is_refused():
    with pytest.raises(DataError, match="val_size 3 would leave nothing to train on: there are 3 examples"):
        split([1, 2, 3], 3, seed=1)


def test_eval_dataset_is_read_and_nothing_is_split_off(tokenizer, records):
    data = config(records(), eval_dataset=(str(records("eval.jsonl", ("four",))),))
    splits = load(data, tokenizer, lambda line: None, never)
    assert (len(splits.train), len(splits.evaluation)) == (3, 1)


def test_the_log_accounts_for_every_record(tokenizer, records):
    lines: list[str] = []
    path = records(answers=("one", "", "word " * 60, " ", "two"))
    load(config(path), tokenizer, lines.append, never)
    assert lines[0].startswith(
        "data: data.jsonl (alpaca): 3 of 5 records used, 2 dropped (empty answer), 1 cut to 40 tokens, "
    )


def test_max_samples_takes_the_first_of_each_file(tokenizer, records):
    lines: list[str] = []
    splits = load(config(records(), max_samples=2), tokenizer, lines.append, never)
    assert len(splits.train) == 2
    assert "2 of 2 records used" in lines[0]


def test_data_without_anything_to_learn_is_refused(tokenizer, records):
    expected = r"dataset has no example to learn from: .*0 of 2 records used, 2 dropped \(empty answer\)"
    with pytest.raises(DataError, match=expected):
        load(config(records(answers=("", " "))), tokenizer, lambda line: None, never)


def test_a_stop_is_heard_while_data_is_prepared(tokenizer, records):
    def stop():
        raise StopRequestedError

    with pytest.raises(StopRequestedError):
        load(config(records(answers=["one"] * 100)), tokenizer, lambda line: None, stop)


def test_batches_are_padded_on_the_right_and_padding_is_never_learned(tokenizer, records):
    splits = load(config(records(answers=("one", "one two three four"))), tokenizer, lambda line: None, never)
    short, long = splits.train
    batch = Collator(tokenizer.pad_token_id)(splits.train)
    assert batch["input_ids"].shape[1] % 8 == 0
    end = len(short.input_ids)
    assert end < len(long.input_ids) <= batch["input_ids"].shape[1]
    assert batch["input_ids"][0, :end].tolist() == short.input_ids.tolist()
    assert batch["attention_mask"].sum(dim=1).tolist() == [end, len(long.input_ids)]
    assert set(batch["input_ids"][0, end:].tolist()) == {tokenizer.pad_token_id}
    assert set(batch["labels"][0, end:].tolist()) == {-100}
    assert batch["labels"][1, : len(long.labels)].tolist() == long.labels.tolist()


def test_the_demo_data_is_all_usable(tokenizer):
    lines: list[str] = []
    demo = TrainingConfig(model_name_or_path="demo:tiny", dataset=("demo:instructions",), cutoff_len=128)
    splits = load(demo, tokenizer, lines.append, never)
    assert 150 <= len(splits.train) <= 250
    assert f"{len(splits.train)} of {len(splits.train)} records used" in lines[0]
