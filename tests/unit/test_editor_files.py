"""Opening, saving, drafts: line ends, modes and links stay, and no text is lost."""

import json
import os
import signal
import subprocess
import sys

import pytest

from fttui.editor.document import Source, load
from fttui.editor.drafts import DraftKeeper, edited_elsewhere, left_behind
from fttui.editor.files import open_file, save_file
from fttui.editor.judging import Question, judge
from fttui.editor.run_text import text_of_run
from fttui.lines import text_of
from fttui.widgets.verdict_line import memory_spans
from fttui_engine.errors import FttuiError
from fttui_engine.hardware.gpu import Gpu
from fttui_engine.spec.load import resolve
from fttui_engine.spec.memory.peak import Prediction
from fttui_engine.spec.memory.report import MemoryReport
from fttui_engine.spec.resolved import write_spec


@pytest.mark.parametrize(
    "content",
    [
        b"a: 1\r\nb: 2\r\n",
        b"\xef\xbb\xbfseed: 1\n",
        b"seed: 1",
        b"seed: 1\r\nmax_steps: 2\n",
        "ä: ö\n".encode(),
    ],
)
def test_a_file_that_is_not_changed_is_written_with_the_same_bytes(content, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    opened = open_file(path)
    assert save_file(opened, opened.text).content == content
    changed = save_file(opened, opened.text + "seed: 3\n").content
    assert changed.startswith(content[:3])
    assert (b"\r\n" in changed) == (content.count(b"\r\n") == content.count(b"\n") > 0)


def test_mode_and_link_of_a_file_stay(tmp_path):
    real, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    real.write_text("seed: 1\n")
    real.chmod(0o640)
    link.symlink_to(real)
    save_file(open_file(link), "seed: 2\n")
    assert link.is_symlink()
    assert real.read_text() == "seed: 2\n"
    assert real.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in sorted(tmp_path.iterdir())] == ["link.yaml", "real.yaml"]


@pytest.mark.parametrize("what", ["folder", "binary", "no folder", "pipe"])
def test_what_is_no_configuration_file_is_not_opened(what, tmp_path):
    path = tmp_path / "it"
    if what == "folder":
        path.mkdir()
    elif what == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path = path / "run.yaml"
    with pytest.raises(FttuiError) as caught:
        open_file(path)
    assert caught.value.hint


def test_a_failed_save_leaves_the_file_and_says_why(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("seed: 1\n")
    opened = open_file(path)
    path.unlink()
    path.mkdir()
    (path / "inside").touch()
    with pytest.raises(FttuiError, match="cannot be written"):
        save_file(opened, "seed: 2\n")
    assert [each.name for each in tmp_path.iterdir()] == ["run.yaml"]


KEEP = """
import sys, time
from pathlib import Path
from fttui.editor.drafts import DraftKeeper
DraftKeeper(Path(sys.argv[1]), sys.argv[2]).keep("demo", "lora_rank: 5\\n")
print("kept", flush=True)
time.sleep(60)
"""


def test_a_killed_editor_leaves_its_draft_and_a_living_one_keeps_it(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("seed: 1\n")
    home = tmp_path / "home"
    with subprocess.Popen(
        [sys.executable, "-c", KEEP, str(home), str(path)], stdout=subprocess.PIPE, text=True
    ) as editor:
        try:
            assert editor.stdout.readline() == "kept\n"
            assert load(Source(path), home).draft is None
            assert edited_elsewhere(home, str(path)) == editor.pid
        finally:
            editor.send_signal(signal.SIGKILL)
    loaded = load(Source(path), home)
    assert loaded.other_editor is None
    assert (loaded.draft.text, loaded.draft.profile) == ("lora_rank: 5\n", "demo")
    assert loaded.draft.file.stat().st_mode & 0o077 == 0
    path.write_text("lora_rank: 5\n")
    assert load(Source(path), home).draft is None
    assert not loaded.draft.file.exists()


def test_a_damaged_draft_is_passed_over_and_a_closed_keeper_keeps_nothing(tmp_path):
    keeper = DraftKeeper(tmp_path, "x")
    keeper.keep("", "seed: 1\n")
    keeper.close(drops=True)
    keeper.keep("", "seed: 2\n")
    folder = tmp_path / "drafts"
    assert list(folder.iterdir()) == []
    for number, text in enumerate(
        ["{", "[]", json.dumps({"text": 3, "path": "x"}), json.dumps({"text": "a"})]
    ):
        (folder / f"{number}.json").write_text(text)
    assert left_behind(tmp_path, "x") is None
    assert edited_elsewhere(tmp_path, "x") is None


def test_the_text_of_a_run_amounts_to_the_configuration_that_it_was_started_with(tmp_path):
    started = resolve(
        None,
        profile="demo",
        overrides=[
            "lora_dropout=0.25",
            "run.restart.max=2",
            "run.environment.A_B=c d: e",
            "default_system=it's: # 1",
        ],
        cwd=tmp_path,
    )
    write_spec(started, tmp_path / "spec.yaml")
    text = text_of_run("demo", tmp_path / "spec.yaml")
    again = resolve(tmp_path / "copy.yaml", text=text, cwd=tmp_path)
    assert again.findings.errors == started.findings.errors
    # The name is the other run's own.
    named = {**again.values, "run": {"name": "demo", **again.values["run"]}}
    assert named == started.values
    assert "adam_beta1:" not in text


def test_a_judgement_names_the_layer_of_every_value():
    saved = "model_name_or_path: demo:tiny\nlr: 1e-4\nlora_rank: 8\n"
    text = saved.replace("8", "x") + "bf16: flase\nodd: 1\n"
    judgement = judge(Question(1, text, saved, "a.yaml", "demo"))
    fields = {field.name: field for field in judgement.fields}
    assert fields["model_name_or_path"].origin == "file"
    assert fields["learning_rate"].origin == "file"
    assert "lr is read as learning_rate" in fields["learning_rate"].remarks[0].message
    assert (fields["lora_rank"].origin, fields["lora_rank"].value) == ("edit", "x")
    assert fields["dataset"].origin == "profile"
    assert fields["optim"].origin == "default"
    assert "false" in fields["bf16"].remarks[0].message
    assert fields["odd"].has_error
    assert {remark.line for remark in judgement.remarks if remark.severity == "error"} == {3, 4, 5}


def test_another_spelling_of_the_default_is_no_difference():
    text = "lora_target: all\nnum_train_epochs: 3.0\nlearning_rate: 1e-4\nbf16: false\nlora_rank: x\n"
    fields = judge(Question(1, text, text, "a.yaml", "")).fields
    assert {field.name for field in fields if field.differs} == {"learning_rate", "lora_rank"}


def test_a_text_that_is_no_yaml_says_its_line_and_an_empty_one_shows_the_form():
    broken = judge(Question(1, "seed: 1\nlora_rank: [8\n", "", "a.yaml", ""))
    assert broken.problem.line is not None
    assert broken.fields == ()
    empty = judge(Question(1, "# only this\n", "", "a.yaml", "demo"))
    assert empty.problem is None
    assert empty.resolved.ok
    assert judge(Question(1, "", "", "new.yaml", "")).count("error") > 0


def test_other_readers_of_yaml_take_the_text_for_what_it_is(tmp_path):
    import yaml

    changes = [
        "learning_rate=1.2345678e-5",
        "save_strategy=no",
        "model_revision=12",
        "dataset=demo:instructions",
    ]
    write_spec(resolve(None, profile="demo", overrides=changes, cwd=tmp_path), tmp_path / "spec.yaml")
    read = yaml.safe_load(text_of_run("demo", tmp_path / "spec.yaml"))
    assert read["learning_rate"] == 1.2345678e-5
    assert (read["save_strategy"], read["model_revision"]) == ("no", "12")
    assert read["dataset"] == ["demo:instructions"]


def test_of_an_empty_text_every_key_that_is_missing_is_named():
    fields = {field.name: field for field in judge(Question(1, "# nothing\n", "", "new.yaml", "")).fields}
    assert fields["model_name_or_path"].has_error
    assert fields["dataset"].has_error


def test_the_run_of_a_program_is_copied_with_its_command(tmp_path):
    spec = {"schema": 1, "values": {"run": {"command": ["python", "a b.py", "yes"]}}, "origins": {}}
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    text = text_of_run("other", tmp_path / "spec.yaml")
    assert resolve(tmp_path / "copy.yaml", text=text).run.command == ("python", "a b.py", "yes")


@pytest.mark.parametrize(
    ("free_gib", "fits", "said"),
    [
        ((20, 30), True, "memory 10.0G of 20.0G a GPU"),
        ((4, 30), False, "over"),
        ((None,), None, "memory 10.0G on each GPU"),
    ],
)
def test_the_memory_line_measures_against_the_fullest_gpu(free_gib, fits, said):
    gpus = tuple(
        Gpu(
            index,
            None,
            "GPU",
            0,
            0,
            None,
            None,
            None,
            None,
            None,
            (),
            {},
            memory_free_bytes=None if free is None else free << 30,
        )
        for index, free in enumerate(free_gib)
    )
    report = MemoryReport(Prediction("backward", {"weights": 10 << 30}), gpus, disk_bytes=3 << 30, fits=fits)
    line = text_of(memory_spans(report))
    assert said in line
    assert "disk 3.0G" in line
    assert len(f" v can be started ! 9 warnings{line}") <= 80
