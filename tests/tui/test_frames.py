"""Whole screens as they were accepted, at three sizes, from a recording in which time stands still.

``FTTUI_NEW_FRAMES=1 pytest tests/tui/test_frames.py`` writes them anew; the difference is then read before it is kept.
"""

import asyncio
import contextlib
import difflib
import os
import time
from pathlib import Path

import pytest

from fttui.recording import Recording
from fttui.settings import Settings
from run_maker import SIZES

RECORDINGS = Path(__file__).parent / "recordings"
RECORDING = Path("five-runs")
"""Relative, for its place is on the screens."""
FRAMES = Path(__file__).parent / "frames"

SETTINGS = Settings(theme="dark", ascii=False, read_only=True, restore_session=False)

PLACES = {
    "run": ("llama-8b", "run"),
    "charts": ("llama-8b", "chart"),
    "checkpoints": ("chat-1b", "checkpoints"),
    "events": ("dpo-7b", "events"),
    "config": ("llama-8b", "config"),
    "log": ("dpo-7b", "log"),
    "gpus": ("llama-8b", "gpus"),
}


@pytest.fixture(autouse=True)
def same_place_and_time(monkeypatch):
    monkeypatch.chdir(RECORDINGS)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_screen_is_as_it_was_accepted(size, open_cockpit):
    suffix = f"{size[0]}x{size[1]}.txt"
    async with open_cockpit(
        size, select="llama-8b", settings=SETTINGS, recording=Recording(RECORDING)
    ) as screen:
        await is_as(screen, FRAMES / f"dashboard-{suffix}")
        for key, name in (("question_mark", "help"), ("colon", "palette")):
            await screen.press(key)
            await is_as(screen, FRAMES / f"{name}-{suffix}")
            await screen.press("escape")
        screen.cockpit.select("dpo-7b")
        await is_as(screen, FRAMES / f"failed-{suffix}")
        for name, (run_id, scope) in PLACES.items():
            await screen.cockpit.run_action(f"app.open_place({run_id!r}, {scope!r})")
            await is_as(screen, FRAMES / f"{name}-{suffix}")


async def test_in_ascii_nothing_else_reaches_the_terminal(open_cockpit):
    settings = SETTINGS._replace(ascii=True)
    async with open_cockpit(
        (120, 40), select="llama-8b", settings=settings, recording=Recording(RECORDING)
    ) as screen:
        await is_as(screen, FRAMES / "ascii-120x40.txt")
        for key in ("question_mark", "colon", "u", "enter", "2"):
            assert screen.text.isascii(), screen.text
            await screen.press(key)
            await screen.pilot.pause()
            assert screen.text.isascii(), screen.text
            if key in ("question_mark", "colon", "u"):
                await screen.press("escape")


async def is_as(screen, path):
    """Wait until the screen is as in a file; where frames are made, until it no longer changes."""
    if os.environ.get("FTTUI_NEW_FRAMES"):
        await asyncio.sleep(1.5)
        FRAMES.mkdir(exist_ok=True)
        path.write_text("\n".join(frame(screen)) + "\n")
    accepted = path.read_text().splitlines()
    with contextlib.suppress(AssertionError):
        await screen.until(lambda: frame(screen) == accepted, path.name)
    difference = difflib.unified_diff(accepted, frame(screen), path.name, "as it is", lineterm="")
    assert frame(screen) == accepted, "\n".join(difference)


def frame(screen):
    return [line.rstrip() for line in screen.lines]
