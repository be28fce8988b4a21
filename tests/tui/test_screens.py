"""One run in full, and its log."""

import pytest

from fttui_engine.runs.states import State
from run_maker import OUT_OF_MEMORY, SIZES, add_steps


@pytest.mark.parametrize("size", SIZES)
async def test_a_run_in_full_shows_events_checkpoints_and_log(size, make_run, open_cockpit):
    make_run("whole", step=65, max_steps=100, log="a line of log\n")
    async with open_cockpit(size) as screen:
        await screen.press("enter")
        await screen.sees(
            "whole  > running  65/100  65%  ETA 14s", "Attempt 1 runs.", "step      60", "a line of log"
        )
        await screen.sees("0      ", "100")
        await screen.press("escape")
        await screen.sees("STATE")


async def test_an_unsealed_checkpoint_is_said_not_to_count(make_run, open_cockpit):
    run = make_run("torn", step=25, max_steps=100)
    (run.checkpoints_dir / "checkpoint-40").mkdir()
    async with open_cockpit((120, 40)) as screen:
        await screen.press("enter")
        await screen.sees("step      40  not sealed: does not count")


async def test_the_view_of_a_run_closes_when_the_run_is_deleted(make_run, open_cockpit):
    make_run("doomed", State.FINISHED, step=5)
    async with open_cockpit() as screen:
        await screen.press("enter")
        await screen.sees("doomed  v finished")
        await screen.press("d", "y")
        await screen.sees("There are no runs yet")


async def test_a_program_without_numbers_says_why_there_is_no_curve(make_run, open_cockpit):
    make_run("sleeper", kind="command")
    async with open_cockpit() as screen:
        await screen.sees("reports no numbers")


async def test_messages_of_others_are_never_taken_for_markup(make_run, open_cockpit):
    verdict = OUT_OF_MEMORY._replace(message="[/red] \x1b]52;c;eA==\x07broke [b]", advice="try [x](y)")
    make_run("nasty", State.FAILED, verdict=verdict)
    async with open_cockpit() as screen:
        await screen.sees("[/red] broke [b]", "try [x](y)")
        assert "\x1b" not in screen.text


async def test_steps_redone_after_a_crash_are_drawn_once(make_run, open_cockpit):
    run = make_run("redone", step=40, max_steps=100)
    add_steps(run, 31, 35, 100)
    async with open_cockpit() as screen:
        await screen.sees("Loss  redone")
        await screen.until(lambda: screen.cockpit.snapshot.detail is not None, "the curve")
        steps = [step for step, _ in screen.cockpit.snapshot.detail.losses]
        assert steps == list(range(1, 36))
