"""What ``fttui data`` tells: counts, repetitions, steps, and which words are learned."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import fttui
import fttui_engine
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data import cache
from fttui_engine.train.data.dataset import load_splits
from fttui_engine.train.data.report import report_splits, report_steps, show_examples
from fttui_engine.train.stages import stage_of


def write(path, *answers):
    path.write_text("".join(json.dumps({"prompt": "Count.", "completion": each}) + "\n" for each in answers))
    return str(path)


def prepared(config, tokenizer):
    return load_splits(config, stage_of(config).reader(config, tokenizer), tokenizer, print, lambda: None)


def test_repetitions_and_leaks_are_counted(tokenizer, tmp_path):
    config = TrainingConfig(
        model_name_or_path="demo:tiny",
        dataset=(write(tmp_path / "train.jsonl", "one", "two", "one", "one", "three " * 9),),
        eval_dataset=(write(tmp_path / "eval.jsonl", "four", "two"),),
    )
    report = report_splits(prepared(config, tokenizer), config)
    train, evaluation = report["train"], report["evaluation"]["evaluation"]
    assert (train["examples"], train["repeated"]) == (5, 2)
    assert (evaluation["examples"], evaluation["also_in_train"]) == (2, 1)
    length = train["length"]
    assert length["p50"] < length["p95"] <= length["max"]
    bars = length["histogram"]
    assert sum(bar["examples"] for bar in bars) == 5
    assert bars[-1]["examples"] == 1
    assert bars[-1]["from"] <= length["max"] == bars[-1]["to"]


def test_what_is_learned_can_be_seen(tokenizer, tmp_path):
    path = write(tmp_path / "train.jsonl", "one")
    config = TrainingConfig(model_name_or_path="demo:tiny", dataset=(path,))
    ((asked, answered),) = show_examples(prepared(config, tokenizer).train, 3, tokenizer)
    assert not asked["learned"] and asked["text"].endswith("<|im_start|>assistant\n")
    assert answered["learned"] and answered["text"].startswith("one<|im_end|>")


def test_both_answers_of_a_pair_are_shown(tokenizer, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": "Count.", "chosen": "one", "rejected": "none"}))
    config = TrainingConfig(model_name_or_path="demo:tiny", dataset=(str(path),), stage="dpo")
    (pieces,) = show_examples(prepared(config, tokenizer).train, 1, tokenizer)
    learned = {piece["part"]: piece["text"].split("<")[0] for piece in pieces if piece["learned"]}
    assert learned == {"chosen": "one", "rejected": "none"}


@pytest.mark.parametrize(
    ("examples", "processes", "values", "expected"),
    [
        (100, 1, {}, (13, 39)),
        (100, 2, {"gradient_accumulation_steps": 4}, (2, 6)),
        (3, 1, {"gradient_accumulation_steps": 16}, (1, 3)),
        (100, 1, {"max_steps": 20}, (13, 20)),
        (100, 1, {"num_train_epochs": 0.5}, (13, 7)),
    ],
)
def test_steps_are_counted_as_the_trainer_does(examples, processes, values, expected):
    config = TrainingConfig(model_name_or_path="demo:tiny", dataset=("x",), **values)
    steps = report_steps(examples, config, processes)
    assert (steps["steps_per_epoch"], steps["steps"]) == expected


def start(tmp_path, home, *words, **streams):
    environment = os.environ | {
        "FTTUI_HOME": str(home),
        "PYTHONPATH": os.pathsep.join(
            os.path.dirname(os.path.dirname(package.__file__)) for package in (fttui, fttui_engine)
        ),
    }
    argv = [sys.executable, "-P", "-m", "fttui", "data", *words]
    return subprocess.Popen(
        argv, env=environment, cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE, **streams
    )


def test_the_verb_shows_all_of_it_and_names_a_broken_record(tmp_path, home):
    write(tmp_path / "train.jsonl", "one", "one", "\x1b]0;title\x07two")
    (tmp_path / "x.yaml").write_text("model_name_or_path: demo:tiny\ndataset: train.jsonl\nuse_cpu: true\n")
    output, errors = start(tmp_path, home, "x.yaml", stdout=subprocess.PIPE).communicate(timeout=120)
    text = output.decode()
    assert "data: train.jsonl (alpaca): 3 of 3 records used" in text, errors
    assert "warning: examples of train that repeat another one exactly: 1" in text
    assert "steps: 3 examples, 8 per step, 1 steps per epoch; 3 steps are 3 epochs" in text
    assert "<|im_start|>assistant\n[[one<|im_end|>" in text
    assert "\x1b" not in text
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write('{"prompt": "x", "completion": 3}\n')
    child = start(tmp_path, home, "x.yaml", "--json", stdout=subprocess.PIPE)
    output, errors = child.communicate(timeout=120)
    assert child.returncode == 1
    assert output == b""
    assert "train.jsonl, line 4: completion must be a text" in errors.decode()
    assert "Traceback" not in errors.decode()


def test_ctrl_c_ends_it_without_a_trace(tmp_path, monkeypatch, home):
    monkeypatch.setenv("FTTUI_HOME", str(tmp_path / "home"))
    write(tmp_path / "train.jsonl", *["word " * 60] * 60_000)
    lines = "model_name_or_path: demo:tiny\ndataset: train.jsonl\npreprocessing_num_workers: 2\n"
    (tmp_path / "x.yaml").write_text(lines)
    child = start(tmp_path, tmp_path / "home", "x.yaml", stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not list(cache.cache_folder().glob(".*/input_ids")) if cache.cache_folder().exists() else True:
        assert child.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, errors.decode()
    assert "Traceback" not in errors.decode()
    assert [path for path in cache.cache_folder().iterdir() if path.is_dir()] == []
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, 0)
