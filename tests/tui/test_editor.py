"""The configuration editor: two views of one text, judged while it is typed, and never lost."""

import os
import re
from pathlib import Path

import pytest

from fttui.editor.document import Source
from fttui.editor.drafts import drafts_folder
from fttui.screens.editor import Editor
from fttui.settings import Settings
from fttui_engine.runs.states import State
from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import write_spec
from run_maker import SIZES

TEXT = """\
# my run
model_name_or_path: demo:tiny   # the model
lr: 1e-4
dataset: demo:instructions
lora_rank: 8
cutoff_len: 64
max_steps: 4
save_steps: 2
run:
  gpus: none  # no GPU here
"""
RANK_FIELD = re.compile(r"lora_rank +16 +edit")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT)
    return path


async def open_file_in(screen, source: Source) -> Editor:
    screen.cockpit.edit(source)
    await screen.sees("Set and common keys", "v can be started")
    editor = screen.cockpit.screen
    assert isinstance(editor, Editor)
    return editor


async def choose_key(screen, name: str) -> None:
    await screen.press("slash")
    await screen.paste(name)
    await screen.press("enter", "escape")
    await screen.until(lambda: screen.cockpit.screen.fields.field.name == name, name)


@pytest.mark.parametrize("size", SIZES)
async def test_form_help_verdict_and_keys_are_there_at_every_size(size, file, open_cockpit):
    async with open_cockpit(size) as screen:
        await open_file_in(screen, Source(file))
        await screen.sees(
            "mine.yaml", "saved", "memory ", "of this host fits", "disk", "enter change", "esc back"
        )
        if size[0] >= 110:
            await screen.sees("1  # my run")
        else:
            assert "# my run" not in screen.text
        await screen.press("j", "j")
        await screen.sees(
            "Train an adapter (lora, oft), all weights", "One of lora, full, freeze, oft. Default: lora."
        )


async def test_a_change_in_the_form_touches_one_value_and_undo_gives_the_same_bytes(file, open_cockpit):
    async with open_cockpit() as screen:
        editor = await open_file_in(screen, Source(file))
        await choose_key(screen, "lora_rank")
        await screen.press("enter", "backspace", *"16", "enter")
        await screen.until(lambda: RANK_FIELD.search(screen.text), "the edit")
        await screen.sees("not saved")
        await screen.press("ctrl+s")
        await screen.hears("Saved.")
        assert file.read_text() == TEXT.replace("lora_rank: 8", "lora_rank: 16")
        await screen.press("u")
        await screen.until(lambda: editor.document.text == TEXT, "the undone text")
        await screen.press("ctrl+s")
        await screen.until(lambda: file.read_text() == TEXT, "the same bytes")


async def test_a_wrong_value_is_refused_while_it_is_typed_and_memory_follows_a_right_one(file, open_cockpit):
    async with open_cockpit() as screen:
        editor = await open_file_in(screen, Source(file))
        before = editor.judgement.report.memory.prediction.predicted_bytes
        await choose_key(screen, "cutoff_len")
        await screen.press("enter", "x")
        await screen.sees("x cutoff_len must be a whole number of at least 8")
        await screen.press("enter")
        assert editor.typing is not None
        await screen.press(*["backspace"] * 3, *"4096")
        await screen.until(
            lambda: editor.judgement.report.memory.prediction.predicted_bytes > 2 * before, "more memory"
        )
        assert editor.document.text == TEXT
        await screen.press("escape")
        await screen.until(
            lambda: editor.judgement.report.memory.prediction.predicted_bytes == before, "what it was"
        )


async def test_switches_choices_and_taking_out_again(file, open_cockpit):
    async with open_cockpit() as screen:
        editor = await open_file_in(screen, Source(file))
        await choose_key(screen, "gradient_checkpointing")
        await screen.press("enter")
        await screen.until(lambda: "gradient_checkpointing: false\n" in editor.document.text, "the switch")
        await choose_key(screen, "save_strategy")
        await screen.press("enter")
        await screen.sees("When to save.", "epoch", "default, now")
        await screen.press("j", "enter")
        await screen.until(lambda: "save_strategy: epoch\n" in editor.document.text, "the choice")
        await screen.press("x")
        await screen.until(lambda: "save_strategy" not in editor.document.text, "no choice")


async def test_text_and_form_are_one_document(file, open_cockpit):
    async with open_cockpit() as screen:
        editor = await open_file_in(screen, Source(file))
        await choose_key(screen, "lora_rank")
        await screen.press("ctrl+t")
        await screen.sees("# my run", "Line 5", "Rank of the adapter.")
        await screen.press("end", *"x")
        await screen.sees("x mine.yaml:5: lora_rank must be a whole number", "1 error")
        await screen.press("ctrl+t")
        await screen.until(lambda: re.search(r"x lora_rank +8x +edit", screen.text), "the error at the field")
        assert editor.fields.field.name == "lora_rank"
        await screen.press("u")
        await screen.sees("v can be started")
        await screen.press("ctrl+t", "ctrl+end", *"optim: sgd")
        await screen.press("escape")
        await screen.until(lambda: re.search(r"optim +sgd +edit", screen.text), "the new key")


async def test_a_text_that_is_no_yaml_leaves_the_form_and_brings_it_back(file, open_cockpit):
    async with open_cockpit() as screen:
        await open_file_in(screen, Source(file))
        await screen.press("ctrl+t", "ctrl+end", *"seed: [1", "escape")
        await screen.sees("A bracket is opened here", "ctrl+t shows the text")
        await screen.press("enter", "u")
        await screen.sees("model_name_or_path", "v can be started")


async def test_n_goes_from_fault_to_fault_and_x_takes_out_what_nobody_knows(file, open_cockpit):
    file.write_text(TEXT.replace("lora_rank: 8", "lora_rank: x") + "odd_key: 1\n")
    async with open_cockpit() as screen:
        screen.cockpit.edit(Source(file))
        await screen.sees("2 errors")
        await screen.press("n")
        await screen.sees("x mine.yaml:5: lora_rank must be")
        await screen.press("n")
        await screen.sees("There is no key 'odd_key'")
        await screen.press("x")
        await screen.sees("x 1 error")
        assert "odd_key" not in screen.cockpit.screen.document.text


async def test_a_search_goes_to_the_key_and_leaves_no_trace(file, open_cockpit):
    async with open_cockpit() as screen:
        editor = await open_file_in(screen, Source(file))
        await screen.press("slash", *"beta1")
        await screen.sees("Keys with beta1", "adam_beta1", "Decay of the mean of gradients.")
        await screen.press("escape")
        await screen.sees("Set and common keys")
        await screen.press("g", "j")
        assert editor.fields.field.name == "stage"
        await screen.press("f2")
        await screen.sees("Verdict", "lr is read as learning_rate", "activations")
        await screen.press("escape", "question_mark")
        await screen.sees("change the value, in its place")


async def test_a_profile_stands_below_the_file(tmp_path, open_cockpit):
    file = tmp_path / "few.yaml"
    file.write_text("lora_rank: 4\n")
    async with open_cockpit((120, 40)) as screen:
        await open_file_in(screen, Source(file, "demo"))
        await screen.until(
            lambda: re.search(r"dataset +demo:instructions +profile", screen.text), "the profile"
        )
        await choose_key(screen, "lora_rank")
        await screen.press("f3")
        await screen.sees("Difference to demo", "lora_rank")
        await screen.press("escape", "p")
        await screen.sees("no profile: the defaults", "single-8gb-qlora")
        await screen.press("end", "pagedown", "enter")
        await screen.until(lambda: screen.cockpit.screen.document.profile == "", "no profile")
        await screen.sees("errors")


async def test_somebody_else_changes_the_file(file, open_cockpit, monkeypatch):
    monkeypatch.setattr("fttui.screens.editor_files.DISK_SECONDS", 0.05)
    async with open_cockpit() as screen:
        editor = await open_file_in(screen, Source(file))
        file.write_text(TEXT.replace("64", "128"))
        await screen.hears("is read again")
        await screen.until(lambda: "cutoff_len: 128" in editor.document.text, "their text")
        await choose_key(screen, "gradient_checkpointing")
        await screen.press("enter")
        file.write_text(TEXT.replace("64", "256"))
        await screen.sees("changed on disk")
        await screen.press("ctrl+s")
        await screen.sees("was changed by somebody else", "difference", "overwrite", "reload")
        await screen.press("enter")
        await screen.sees("-cutoff_len: 256", "+cutoff_len: 128")
        await screen.press("escape", "j", "j", "enter")
        await screen.until(lambda: editor.document.text == TEXT.replace("64", "256"), "theirs")
        await screen.press("u")
        await screen.until(lambda: "gradient_checkpointing: false" in editor.document.text, "mine again")
        await screen.press("ctrl+s")
        await screen.until(lambda: "cutoff_len: 128" in file.read_text(), "mine on disk")


async def test_leaving_asks_and_a_draft_comes_back(file, home, open_cockpit):
    async with open_cockpit() as screen:
        await open_file_in(screen, Source(file))
        await choose_key(screen, "gradient_checkpointing")
        await screen.press("enter")
        await screen.sees("not saved")
        await screen.press("escape")
        await screen.sees("There are changes that are not saved")
        await screen.press("j", "enter")
        await screen.sees("There are no runs yet")
        assert file.read_text() == TEXT
        (draft,) = drafts_folder(home).iterdir()
        # As of a program that was killed: nobody lives under this process number any more.
        draft.write_text(draft.read_text().replace(f'"pid": {os.getpid()}', '"pid": 4194304'))
        screen.cockpit.edit(Source(file))
        await screen.sees("An unsaved draft")
        await screen.press("enter")
        await choose_key(screen, "gradient_checkpointing")
        await screen.until(
            lambda: re.search(r"gradient_checkpointing +false +edit", screen.text), "the draft"
        )
        await screen.until(lambda: not draft.exists(), "one draft")
        await screen.press("escape", "j", "j", "enter")
        await screen.sees("There are no runs yet")
        assert list(drafts_folder(home).iterdir()) == []


async def test_a_new_text_is_given_a_name_and_never_takes_that_of_another_by_itself(
    tmp_path, file, open_cockpit
):
    async with open_cockpit() as screen:
        await open_file_in(screen, Source(text=TEXT))
        await screen.press("ctrl+s")
        await screen.sees("Save as")
        await screen.press("ctrl+u", "ctrl+k")
        await screen.paste(str(file))
        await screen.press("enter")
        await screen.sees("mine.yaml is there already")
        await screen.press("enter", "ctrl+s", "ctrl+u")
        await screen.paste(str(tmp_path / "new.yaml"))
        await screen.press("enter")
        await screen.hears("Saved.")
        assert (tmp_path / "new.yaml").read_text() == TEXT


async def test_e_edits_a_copy_of_a_runs_configuration(make_run, open_cockpit, tmp_path):
    run = make_run("old", State.FINISHED, step=3)
    write_spec(resolve(None, profile="demo", overrides=["lora_rank=3"]), run.spec_path)
    before = run.spec_path.read_bytes()
    async with open_cockpit() as screen:
        await screen.sees("old")
        await screen.press("e")
        await screen.sees("new.yaml", "v can be started")
        await screen.until(lambda: re.search(r"lora_rank +3 +file", screen.text), "the run's rank")
        await screen.press("escape")
        await screen.sees("STATE")
        assert run.spec_path.read_bytes() == before


async def test_e_in_the_files_edits_yaml_and_of_the_run_itself_a_copy(make_run, open_cockpit):
    run = make_run("old", State.FINISHED, step=3)
    write_spec(resolve(None, profile="demo"), run.spec_path)
    (run.path / "notes.yml").write_text(TEXT)
    async with open_cockpit(select="old", page="files") as screen:
        await screen.sees("spec.yaml", "notes.yml", "plan.json")
        for name, seen in (("plan.json", ""), ("spec.yaml", "new.yaml"), ("notes.yml", "notes.yml  ")):
            files = screen.cockpit.screen
            names = [each.name for each in files._files]
            await screen.press("g", *["j"] * names.index(name), "e")
            if seen:
                await screen.sees(seen.strip(), "Set and common keys", "can be started")
                await screen.press("escape")
                await screen.until(lambda files=files: screen.cockpit.screen is files, "the files")
            else:
                await screen.hears("Only YAML files can be edited here")


async def test_a_failed_save_says_why_and_keeps_the_text(file, open_cockpit):
    async with open_cockpit() as screen:
        editor = await open_file_in(screen, Source(file))
        await choose_key(screen, "gradient_checkpointing")
        await screen.press("enter")
        file.unlink()
        file.mkdir()
        await screen.press("ctrl+s")
        await screen.hears("cannot be")
        assert editor.document.is_changed
        file.rmdir()
        await screen.press("ctrl+s")
        await screen.until(
            lambda: file.is_file() and "gradient_checkpointing" in file.read_text(), "the file"
        )


async def test_a_damaged_configuration_of_a_run_and_a_missing_folder_are_said(
    make_run, open_cockpit, tmp_path
):
    make_run("bare", State.FINISHED, step=3).spec_path.unlink(missing_ok=True)
    async with open_cockpit() as screen:
        await screen.press("e")
        await screen.hears("damaged")
        await screen.press("E", *"/nowhere/at/all.yaml", "enter")
        await screen.hears("there is no folder /nowhere/at")
        await screen.sees("STATE")


async def test_read_only_neither_saves_nor_starts(file, open_cockpit):
    async with open_cockpit(settings=Settings(read_only=True)) as screen:
        await open_file_in(screen, Source(file))
        await screen.press("f5")
        await screen.hears("Read-only")
        await screen.press("ctrl+s")
        assert file.read_text() == TEXT


async def test_what_a_terminal_would_obey_is_shown_and_not_sent_and_saved_as_it_was(tmp_path, open_cockpit):
    file = tmp_path / "odd.yaml"
    text = "model_name_or_path: demo:tiny\ndataset: demo:instructions\n# \u202e\u009b31m\u0085\u2028\r end\n"
    file.write_bytes(text.encode())
    async with open_cockpit((120, 40)) as screen:
        screen.cockpit.edit(Source(file))
        await screen.sees("Set and common keys", "end")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", screen.text.replace("\n", ""))
        await screen.press("ctrl+t", "ctrl+end", *"# x", "ctrl+s")
        await screen.hears("Saved.")
        assert file.read_bytes() == (text + "# x").encode()
