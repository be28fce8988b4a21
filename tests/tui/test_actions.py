"""Starting, stopping, killing, resuming and deleting real processes from the keyboard, at 80x24."""

import time
from pathlib import Path

import pytest

from fttui_engine.errors import FttuiError
from fttui_engine.launch import verbs
from fttui_engine.runs.run import all_runs, find_run
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import summarize
from run_maker import OUT_OF_MEMORY

PATIENT = "import time\nprint('hello from the program', flush=True)\ntime.sleep(600)\n"


@pytest.fixture
def live(home):
    """The state folder of real runs; whatever still runs at the end is killed."""
    yield home
    deadline = time.monotonic() + 15
    for run in all_runs(home):
        while (summary := summarize(run)).state.is_live or summary.keeper_pid:
            try:
                if summary.state.is_live:
                    verbs.stop(run, now=True)
            except FttuiError:
                assert time.monotonic() < deadline, f"{run.id} would not end"
            time.sleep(0.05)


@pytest.fixture
def program(tmp_path):
    script, configuration = tmp_path / "program.py", tmp_path / "program.yaml"
    script.write_text(PATIENT)
    configuration.write_text(f"run:\n  name: patient\n  command: [python3, {script}]\n")
    return configuration


async def fill_in(screen, path: Path) -> None:
    await screen.press("n")
    await screen.sees("[1 Profile]", "YAML file")
    await screen.paste(str(path))
    await screen.press("enter")
    await screen.sees("[5 Review]", "This configuration can be started", "Name     patient")


async def test_from_the_first_key_to_the_deleted_run(live, program, open_cockpit):
    async with open_cockpit() as screen:
        await fill_in(screen, program)
        await screen.press("enter")
        await screen.hears("patient is started")
        await screen.sees("> running     patient", "hello from the program")

        await screen.press("s")
        await screen.sees("Stop patient?", "SIGTERM")
        await screen.press("y")
        await screen.until(lambda: state_of(live, "patient") is State.STOPPED, "the run to stop")
        await screen.sees("- stopped     patient")

        await screen.press("r")
        await screen.sees("> running     patient")
        assert summarize(find_run("patient", live)).attempt == 2

        await screen.press("K")
        await screen.sees("Kill patient?")
        assert "checkpoint" not in screen.text
        await screen.press(*"patien", "enter")
        await screen.sees("That is not patient")
        assert state_of(live, "patient") is State.RUNNING
        await screen.press("t", "enter")
        await screen.until(lambda: not state_of(live, "patient").is_live, "the run to end")
        await screen.sees("- stopped     patient")

        await screen.press("d")
        await screen.sees("Delete patient?", "for good")
        await screen.press("y")
        await screen.sees("There are no runs yet")
        assert all_runs(live) == []


def state_of(home: Path, name: str) -> State:
    return summarize(find_run(name, home)).state


async def test_a_started_run_shows_as_starting_within_200_ms_of_the_key(live, program, open_cockpit):
    async with open_cockpit() as screen:
        await fill_in(screen, program)
        pressed = time.monotonic()
        screen.cockpit.simulate_key("enter")
        await screen.until(lambda: "+ starting    patient" in screen.text, "the row")
        assert time.monotonic() - pressed < 0.2
        await screen.sees("> running     patient")


async def test_a_start_that_fails_says_why_and_leaves_no_row(live, program, open_cockpit, tmp_path):
    program.write_text(program.read_text() + f"output_dir: {tmp_path / 'shared-output'}\n")
    async with open_cockpit() as screen:
        await fill_in(screen, program)
        await screen.press("enter")
        await screen.sees("> running     patient")
        await fill_in(screen, program)
        await screen.press("enter")
        await screen.hears("shared-output")
        await screen.until(lambda: "starting" not in screen.text, "the row to go")
    assert [run.id for run in all_runs(live)] == ["patient"]


async def test_keys_that_make_no_sense_now_say_why(make_run, open_cockpit):
    make_run("alive")
    make_run("dead", State.FAILED, verdict=OUT_OF_MEMORY)
    async with open_cockpit(select="alive") as screen:
        await screen.press("r")
        await screen.hears("alive is running. A run can be resumed after it has ended.")
        await screen.press("d")
        await screen.hears("Stop it first")
        await screen.press("j", "s")
        await screen.hears("dead is not running (failed); there is nothing to stop.")
        await screen.press("K")
        await screen.hears("there is nothing to kill")


async def test_without_runs_every_key_answers(open_cockpit):
    async with open_cockpit() as screen:
        for key in ("enter", "s", "K", "r", "d", "l"):
            screen.cockpit.clear_notifications()
            await screen.press(key)
            await screen.hears("No run is selected")


async def test_no_means_no(make_run, open_cockpit, home):
    make_run("kept", State.FINISHED)
    async with open_cockpit() as screen:
        for refusal in ("n", "escape", "q"):
            await screen.press("d")
            await screen.sees("Delete kept?")
            await screen.press(refusal)
            await screen.sees("STATE")
    assert [run.id for run in all_runs(home)] == ["kept"]
