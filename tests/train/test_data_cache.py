"""The cache of prepared data: reused when nothing has changed, never when something has, and never when damaged."""

import dataclasses
import json
import os
import pickle
import threading

import numpy
import pytest

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data import cache
from fttui_engine.train.data.dataset import load_splits
from fttui_engine.train.data.store import Store, StoreWriter
from fttui_engine.train.data.tokenise import Example, Tokenised
from fttui_engine.train.errors import DataError, StopRequestedError
from fttui_engine.train.stages import stage_of


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch, tokenizer):
    """A state folder of each test's own; the tokenizer was made before."""
    monkeypatch.setenv("FTTUI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def config(tmp_path):
    """A configuration with a file of 40 conversations."""
    path = tmp_path / "data.jsonl"
    with path.open("w") as file:
        for number in range(40):
            file.write(json.dumps({"prompt": f"Say {number}.", "completion": "word " * (number + 1)}) + "\n")
    return TrainingConfig(model_name_or_path="demo:tiny", dataset=(str(path),), cutoff_len=40)


class Unused:
    """A reader that must not be asked."""

    def for_source(self, source, columns):
        raise AssertionError("the data was read again")


def load(config, tokenizer, *, log=None, reader=None, check_stop=lambda: None):
    reader = reader or stage_of(config).reader(config, tokenizer)
    return load_splits(config, reader, tokenizer, (log if log is not None else []).append, check_stop)


def contents(splits):
    return [[example.input_ids.tolist() + example.labels.tolist() for example in split] for split in splits]


def entries():
    return [path for path in cache.cache_folder().iterdir() if not path.name.startswith(".")]


def test_a_second_start_reads_nothing_and_says_the_same(config, tokenizer):
    first, second = [], []
    made = load(config, tokenizer, log=first)
    found = load(config, tokenizer, log=second, reader=Unused())
    assert contents(found) == contents(made)
    assert first == second and "40 of 40 records used" in first[0]
    assert not [path for path in cache.cache_folder().iterdir() if path.name.startswith(".")]


def test_another_split_or_mix_of_the_same_records_needs_no_new_tokens(config, tokenizer):
    load(config, tokenizer)
    other = dataclasses.replace(config, val_size=0.25, seed=7, learning_rate=1e-3)
    assert len(load(other, tokenizer, reader=Unused()).evaluation) == 10


def test_whatever_changes_the_tokens_is_noticed(config, tokenizer, tmp_path):
    load(config, tokenizer)
    path = tmp_path / "data.jsonl"
    before = path.stat()
    path.write_text(path.read_text().replace("Say 7.", "Say 8."))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    load(config, tokenizer)
    load(dataclasses.replace(config, cutoff_len=30), tokenizer)
    load(dataclasses.replace(config, train_on_prompt=True), tokenizer)
    load(dataclasses.replace(config, max_samples=10), tokenizer)
    template, tokenizer.chat_template = (
        tokenizer.chat_template,
        tokenizer.chat_template.replace("assistant", "model"),
    )
    try:
        load(config, tokenizer)
    finally:
        tokenizer.chat_template = template
    assert len(entries()) == 6


@pytest.mark.parametrize("damage", ["changed", "cut", "gone", "unreadable"])
def test_a_damaged_entry_is_made_again(config, tokenizer, damage):
    whole = contents(load(config, tokenizer))
    (entry,) = entries()
    values = entry / "labels"
    match damage:
        case "changed":
            content = bytearray(values.read_bytes())
            content[len(content) // 2] ^= 1
            values.write_bytes(content)
        case "cut":
            os.truncate(values, values.stat().st_size // 2)
        case "gone":
            values.unlink()
        case "unreadable":
            (entry / "entry.json").write_text('{"files": {')
    log = []
    assert contents(load(config, tokenizer, log=log)) == whole
    assert any("is damaged" in line and "made again" in line for line in log)
    assert contents(load(config, tokenizer, reader=Unused())) == whole


def test_a_stop_leaves_nothing_half_written(config, tokenizer, tmp_path):
    path = tmp_path / "more.jsonl"
    path.write_text((tmp_path / "data.jsonl").read_text() * 2)

    def stop():
        assert [entry for entry in cache.cache_folder().iterdir() if entry.is_dir()]
        raise StopRequestedError

    with pytest.raises(StopRequestedError):
        load(dataclasses.replace(config, dataset=(str(path),)), tokenizer, check_stop=stop)
    assert [entry for entry in cache.cache_folder().iterdir() if entry.is_dir()] == []


def test_without_a_place_for_the_cache_training_goes_on(config, tokenizer, own_home):
    own_home.mkdir()
    (own_home / "cache").write_text("not a folder")
    log = []
    splits = load(config, tokenizer, log=log)
    assert len(splits.train) == 40
    assert any("cannot be kept in" in line for line in log)
    assert contents(pickle.loads(pickle.dumps(splits))) == contents(splits)


def test_another_process_maps_the_same_files(config, tokenizer):
    splits = load(config, tokenizer)
    packed = pickle.dumps(splits)
    assert len(packed) < sum(example.token_count for example in splits.train) * 4
    assert contents(pickle.loads(packed)) == contents(splits)


def test_several_processes_tokenise_as_one_does(config, tokenizer, tmp_path):
    path = tmp_path / "more.jsonl"
    path.write_text((tmp_path / "data.jsonl").read_text() * 20)
    one = dataclasses.replace(config, dataset=(str(path),), preprocessing_num_workers=1)
    alone = contents(load(one, tokenizer))
    (entry,) = entries()
    for file in entry.iterdir():
        file.unlink()
    entry.rmdir()
    assert contents(load(dataclasses.replace(one, preprocessing_num_workers=2), tokenizer)) == alone
    path.write_text(path.read_text() + '{"prompt": "a"}\n')
    with pytest.raises(DataError, match="line 801"):
        load(dataclasses.replace(one, preprocessing_num_workers=2), tokenizer)


def test_the_second_maker_waits_and_hears_a_stop_meanwhile(tokenizer):
    held, release = threading.Event(), threading.Event()

    def hold():
        with cache.only_maker("key", print, lambda: None):
            held.set()
            release.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(60)
        log = []

        def stop():
            raise StopRequestedError

        with pytest.raises(StopRequestedError), cache.only_maker("key", log.append, stop):
            raise AssertionError("two makers at once")
        assert "another process is preparing the same data" in log[0]
    finally:
        release.set()
        holder.join()
    with cache.only_maker("key", print, lambda: None):
        pass


def test_the_cache_is_kept_below_its_limit_by_what_was_unused_longest(tmp_path):
    for number, name in enumerate(("old", "older", "new")):
        folder = cache.cache_folder() / name
        folder.mkdir(parents=True)
        (folder / "input_ids").write_bytes(bytes(1000))
        age = (100, 200, 0)[number]
        os.utime(folder, (1e9 - age, 1e9 - age))
    stale = cache.cache_folder() / ".half.1.abc"
    stale.mkdir()
    os.utime(stale, (1e9, 1e9))
    cache.prune(2000)
    assert sorted(path.name for path in cache.cache_folder().iterdir()) == ["new", "old"]


def test_saved_data_is_trained_on_without_its_files(config, tokenizer, tmp_path):
    saved = dataclasses.replace(config, tokenized_path=str(tmp_path / "saved"), val_size=4)
    made = contents(load(saved, tokenizer))
    (tmp_path / "data.jsonl").unlink()
    log = []
    assert (
        contents(load(dataclasses.replace(saved, cutoff_len=30), tokenizer, log=log, reader=Unused())) == made
    )
    assert any("prepared with cutoff_len: 40, not 30" in line for line in log)
    template, tokenizer.chat_template = tokenizer.chat_template, "{{ messages }}"
    try:
        with pytest.raises(DataError, match="another tokenizer or chat template"):
            load(saved, tokenizer)
    finally:
        tokenizer.chat_template = template
    (tmp_path / "saved" / "train" / "rows").write_bytes(b"")
    with pytest.raises(DataError, match="is damaged"):
        load(saved, tokenizer)


def test_a_folder_of_somebody_else_is_never_written_to(config, tokenizer, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "dataset_dict.json").write_text("{}")
    with pytest.raises(DataError, match="holds no data that fttui has prepared"):
        load(dataclasses.replace(config, tokenized_path=str(tmp_path / "theirs")), tokenizer)


def test_a_store_keeps_the_place_of_dropped_records(tmp_path):
    def example(*ids):
        return Tokenised(Example(*[numpy.array(ids, dtype=numpy.int32)] * 2))

    writer = StoreWriter(tmp_path)
    for result in (example(1, 2), Tokenised(None, "empty"), example(), example(3)):
        writer.append(result)
    writer.close({})
    store = Store(tmp_path)
    assert store.rows.tolist() == [0, -1, 1, 2]
    assert [store[number].input_ids.tolist() for number in range(len(store))] == [[1, 2], [], [3]]
    with pytest.raises(TypeError, match="int64"):
        StoreWriter(tmp_path).append(Tokenised(Example(*[numpy.array([1])] * 2)))
