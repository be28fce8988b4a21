"""From files to batches: the evaluation split, the account in the log, padding, and a stop in between."""

import dataclasses
import json

import pytest

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.batches import Collator
from fttui_engine.train.data.dataset import Splits, load_splits
from fttui_engine.train.errors import DataError, StopRequestedError
from fttui_engine.train.stages import stage_of


def load(config, tokenizer, log, check_stop) -> Splits:
    stage = stage_of(config)
    splits = load_splits(config, stage.reader(config, tokenizer), tokenizer, log, check_stop)
    return stage.arrange(splits, config, log)


def config(path, **values):
    return TrainingConfig(model_name_or_path="demo:tiny", dataset=(str(path),), cutoff_len=40, **values)


@pytest.fixture
def records(tmp_path):
    def make(name="data.jsonl", answers=("one", "two", "three")):
        """Write conversations with these answers; where one is None, the question has no answer."""
        path = tmp_path / name
        with path.open("w") as file:
            for answer in answers:
                turns = [("user", "Count."), *([("assistant", answer)] if answer is not None else [])]
                messages = [{"role": role, "content": content} for role, content in turns]
                file.write(json.dumps({"messages": messages}) + "\n")
        return path

    return make


def never() -> None:
    """No stop has been asked for."""


def test_a_split_that_leaves_nothing_is_refused(tokenizer, records):
    with pytest.raises(DataError, match="val_size 3 would leave nothing to train on: there are 3 examples"):
        load(config(records(), val_size=3), tokenizer, lambda line: None, never)


def test_a_split_shares_no_example_and_loses_none(tokenizer, records):
    data = config(records(answers=[f"answer {number}" for number in range(20)]), val_size=0.25)
    splits = load(data, tokenizer, lambda line: None, never)
    assert (len(splits.train), len(splits.evaluation)) == (15, 5)
    assert len({tuple(example.input_ids) for split in splits for example in split}) == 20


def test_eval_dataset_is_read_and_nothing_is_split_off(tokenizer, records):
    data = config(records(), eval_dataset=(str(records("eval.jsonl", ("four",))),))
    splits = load(data, tokenizer, lambda line: None, never)
    assert (len(splits.train), len(splits.evaluation)) == (3, 1)


def test_the_log_accounts_for_every_record(tokenizer, records):
    lines: list[str] = []
    path = records(answers=("one", None, "word " * 60, None, "two"))
    load(config(path), tokenizer, lines.append, never)
    assert lines[0].startswith(
        "data: data.jsonl (openai): 3 of 5 records used, 2 dropped (no assistant turn), 1 cut to 40 tokens, "
    )


def test_each_evaluation_set_can_be_kept_apart(tokenizer, records):
    files = tuple(
        str(records(f"{name}.jsonl", answers)) for name, answers in (("a", ["x"]), ("b", ["y", "z"]))
    )
    data = config(records(), eval_dataset=files, eval_on_each_dataset=True)
    splits = load(data, tokenizer, lambda line: None, never)
    assert {name: len(examples) for name, examples in splits.evaluation.items()} == {
        "a": 1,
        "b": 2,
    }


def test_data_sets_are_mixed_record_by_record_before_any_is_dropped(tokenizer, records):
    long, short = records("a.jsonl", ("one", None, "three", "four")), records("b.jsonl", ("five", "six"))
    data = dataclasses.replace(
        config(long), dataset=(str(long), str(short)), mix_strategy="interleave_over", cutoff_len=64
    )
    splits = load(data, tokenizer, lambda line: None, never)
    answers = [tokenizer.decode(example.input_ids).split()[-1].split("<")[0] for example in splits.train]
    assert answers == ["one", "five", "six", "three", "five", "four", "six"]


def test_num_samples_draws_with_repetition_only_where_records_are_too_few(tokenizer, records, tmp_path):
    records("some.jsonl", ("one", "two", "three", "four"))
    for count, distinct in ((2, 2), (4, 4), (9, 4)):
        entry = {"file_name": "some.jsonl", "formatting": "openai", "num_samples": count}
        (tmp_path / "dataset_info.json").write_text(json.dumps({"some": entry}))
        splits = load(config("some", dataset_dir=str(tmp_path)), tokenizer, lambda line: None, never)
        assert len(splits.train) == count
        assert len({tuple(example.input_ids) for example in splits.train}) == distinct


def test_streaming_reads_no_more_than_the_steps_need(tokenizer, records):
    path = records(answers=[f"answer {number}" for number in range(100)])
    path.write_text(path.read_text() + "{broken")
    data = config(
        path, streaming=True, max_steps=2, per_device_train_batch_size=3, buffer_size=10, val_size=4
    )
    splits = load(data, tokenizer, lambda line: None, never)
    assert (len(splits.train), len(splits.evaluation)) == (16, 4)


def test_max_samples_takes_the_first_of_each_file(tokenizer, records):
    lines: list[str] = []
    splits = load(config(records(), max_samples=2), tokenizer, lines.append, never)
    assert len(splits.train) == 2
    assert "2 of 2 records used" in lines[0]


def test_data_without_anything_to_learn_is_refused(tokenizer, records):
    expected = r"dataset has no example to learn from: .*0 of 2 records used, 2 dropped \(no assistant turn\)"
    with pytest.raises(DataError, match=expected):
        load(config(records(answers=(None, None))), tokenizer, lambda line: None, never)


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
