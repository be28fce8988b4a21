"""The dashboard on real run directories, at three sizes."""

import re
import time
from typing import get_args

import pytest

from fttui.keys import KEYS, Scope, keys_of
from fttui_engine.hardware.gpus import read_gpus
from fttui_engine.runs.states import State
from run_maker import OUT_OF_MEMORY, SIZES, add_steps


@pytest.fixture
def six_runs(make_run):
    make_run("long-run", step=60, max_steps=300, log="first line\nlast line of the log\n")
    make_run("asked-to-stop", State.STOPPING, step=5, stop_deadline=time.time() + 42)
    make_run("begun", State.STARTING)
    make_run("out-of-memory", State.FAILED, step=88, verdict=OUT_OF_MEMORY)
    make_run("done", State.FINISHED, step=100)
    make_run("rebooted", State.INTERRUPTED, step=7)


@pytest.mark.parametrize("size", SIZES)
async def test_everything_is_on_the_screen_at_every_size(size, six_runs, open_cockpit):
    async with open_cockpit(size, select="long-run") as screen:
        await screen.sees("long-run", "running 1", "failed 1", "last line of the log", "Loss  long-run")
        await screen.sees("60/300", "18.4k", "1.8e-4  grad 0.830", "best", "free")
        assert any("⠉" in line or "⠒" in line or "⠤" in line for line in screen.lines), "a curve"
        for key in keys_of("dashboard"):
            assert not key.in_footer or f"{key.shown} {key.label}" in screen.lines[-1]
        assert len(screen.lines) == size[1]
        assert all(len(line) == size[0] for line in screen.lines)


async def test_what_is_shown_at_80x24_is_shown_at_every_larger_size(six_runs, open_cockpit):
    async with open_cockpit(SIZES[0], select="long-run") as screen:
        await screen.sees("Loss  long-run", "ckpt")
        titles = {"STATE", "RUN", "STEP", "LOSS", "TOK/S", "ETA", "AGE", "Log"}
        facts = {"loss", "best", "lr", "grad", "tok/s", "step", "eta", "ckpt"}
        for size in SIZES:
            await screen.pilot.resize_terminal(*size)
            await screen.sees(*titles, *facts)
        await screen.sees("CKPT", "Events", "Attempt 1 runs.")


@pytest.mark.skipif(bool(read_gpus().gpus), reason="this machine has GPUs")
async def test_a_machine_without_gpu_says_so_in_a_sentence(open_cockpit):
    async with open_cockpit() as screen:
        await screen.sees("Host", "CPU", "mem", "No NVIDIA GPU on this machine")
        await screen.sees("There are no runs yet. Press n")


async def test_a_failed_run_says_why_and_what_to_do(six_runs, open_cockpit):
    async with open_cockpit(select="out-of-memory") as screen:
        await screen.sees("x failed", "out of memory", "Halve")


async def test_a_stopping_run_counts_down(six_runs, open_cockpit):
    async with open_cockpit(select="asked-to-stop") as screen:
        await screen.sees("| stopping", "killed in")
        first = countdown(screen.text)
        await screen.until(lambda: countdown(screen.text) < first, "the countdown to go on")


def countdown(text):
    return re.search(r"killed in (\d+)s", text).group(1)


async def test_moving_selects_another_run_and_shows_it(six_runs, open_cockpit):
    async with open_cockpit() as screen:
        for key, back in (("j", "k"), ("down", "up")):
            before = screen.cockpit.selected
            await screen.press(key)
            after = screen.cockpit.selected
            assert after != before
            await screen.sees(f"Loss  {after}")
            await screen.press(back)
            assert screen.cockpit.selected == before
        await screen.press("G")
        await screen.sees(f"Loss  {screen.cockpit.snapshot.runs[-1].id}")
        await screen.press("j", "g", "k")
        assert screen.cockpit.selected == screen.cockpit.snapshot.runs[0].id


async def test_a_new_step_appears_without_a_key(make_run, open_cockpit):
    run = make_run("stepping", step=10, max_steps=100)
    async with open_cockpit() as screen:
        await screen.sees("10/100")
        add_steps(run, 11, 12, 100)
        with run.attempt(1).log_path.open("a") as log:
            log.write("a line written meanwhile\n")
        await screen.sees("12/100", "a line written meanwhile")


async def test_the_selection_stays_on_its_run_when_the_order_changes(make_run, open_cockpit):
    make_run("older")
    async with open_cockpit(select="older") as screen:
        await screen.sees("▌ > running     older")
        make_run("newer")
        await screen.sees("newer")
        assert "▌ > running     older" in screen.text


async def test_more_runs_than_rows_scroll_with_the_selection(make_run, open_cockpit):
    for number in range(30):
        make_run(f"run-{number:02}", State.FINISHED)
    async with open_cockpit() as screen:
        await screen.sees("of 30")
        last = screen.cockpit.snapshot.runs[-1].id
        assert last not in screen.text
        await screen.press("G")
        await screen.sees(f"▌ v finished    {last}")


async def test_only_the_runs_with_the_words_asked_for_are_listed(six_runs, open_cockpit):
    async with open_cockpit((120, 40), select="long-run") as screen:
        await screen.sees("1-6 of 6")
        await screen.press("slash", *"fail", "enter")
        await screen.sees("only fail  1-1 of 1", "x failed      out-of-memory", "Loss  out-of-memory")
        assert "asked-to-stop" not in screen.text
        await screen.press("j", "j")
        assert screen.cockpit.selected == "out-of-memory"
        await screen.press("slash", *" nothing", "enter")
        await screen.sees("No run has", "/ asks for other words")
        await screen.press("slash")
        await screen.sees("only runs with:")
        await screen.press("escape", "slash", "ctrl+u", "delete", "enter")
        await screen.sees("1-6 of 6", "asked-to-stop")


async def test_a_damaged_run_directory_does_not_hide_the_others(make_run, open_cockpit):
    broken, odd = make_run("broken"), make_run("odd", step=3)
    make_run("sound", step=5)
    broken.state_path.write_bytes(b"\x00{")
    broken.metrics_path.write_bytes(b'{"step": "x", "loss": {}}\n[1]\n\xff\xfe\n{"step": 1e999, "loss": 1}\n')
    (odd.attempt(1).path / "progress.json").write_text(
        '{"phase": 3, "step": "many", "loss": [1], "phase": "x"}'
    )
    async with open_cockpit(select="broken") as screen:
        await screen.sees("broken", "odd", "sound")


async def test_help_lists_every_key_of_the_screen(open_cockpit):
    async with open_cockpit((80, 60)) as screen:
        await screen.press("question_mark")
        for key in keys_of("dashboard"):
            await screen.sees(key.help[:40])
        await screen.press("escape")
        await screen.sees("Runs")


def test_every_key_has_an_id_of_its_own_and_no_letter_two_meanings_on_a_screen():
    assert len({key.id for key in KEYS}) == len(KEYS)
    for scope in get_args(Scope):
        pressed = [each for key in keys_of(scope) for each in key.keys.split(",")]
        assert len(pressed) == len(set(pressed))


@pytest.mark.parametrize("size", [(80, 10), (40, 24), (20, 5), (10, 3)])
async def test_a_terminal_that_is_too_small_is_survived(size, six_runs, open_cockpit):
    async with open_cockpit(size) as screen:
        await screen.press("j", "enter", "l", "escape", "escape", "question_mark", "escape")
        await screen.pilot.resize_terminal(80, 24)
        await screen.sees("STATE", "Log")
