"""Real run directories, the cockpit in a headless terminal, and the program in a real one."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

# Read once by Textual, at its import below.
os.environ["TEXTUAL_ANIMATIONS"] = "none"

import pytest
from textual.events import Paste
from textual.pilot import Pilot

from fttui.cockpit import Cockpit
from fttui.keys import Scope
from fttui.log import reader
from fttui.recording import Recording
from fttui.session import Session
from fttui.settings import Settings
from fttui_engine.runs.home import ensure_home
from run_maker import RunMaker

WAIT_SECONDS = 10.0
DEFAULTS = Settings(theme="dark", ascii=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("FTTUI_HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    ensure_home(folder)
    return folder


@pytest.fixture
def make_run(home: Path) -> RunMaker:
    return RunMaker(home)


class Screen:
    """The cockpit in a headless terminal, with eyes and fingers."""

    def __init__(self, cockpit: Cockpit, pilot: Pilot[None]) -> None:
        self.cockpit, self.pilot = cockpit, pilot

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def lines(self) -> list[str]:
        return [strip.text for strip in self.cockpit.screen._compositor.render_strips()]

    @property
    def toasts(self) -> str:
        return "\n".join(notification.message for notification in self.cockpit._notifications)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def paste(self, text: str) -> None:
        self.cockpit.post_message(Paste(text))
        await self.pilot.pause()

    async def until(
        self, condition: Callable[[], bool], what: str = "", seconds: float = WAIT_SECONDS
    ) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"waited in vain for {what}; the screen shows:\n{self.text}\n{self.toasts}"
                )
            await asyncio.sleep(0.02)

    async def sees(self, *texts: str) -> None:
        for text in texts:
            await self.until(lambda text=text: text in self.text, repr(text))

    async def hears(self, text: str) -> None:
        await self.until(lambda: text in self.toasts, f"a toast with {text!r}")


@pytest.fixture
def open_cockpit(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., object]]:
    # Ten times the usual pace, to spare the tests the waiting; the tests in a real terminal keep the real one.
    monkeypatch.setattr(reader, "IDLE_SECONDS", 0.1)

    @asynccontextmanager
    async def opened(
        size: tuple[int, int] = (80, 24),
        *,
        select: str | None = None,
        page: Scope = "dashboard",
        settings: Settings = DEFAULTS,
        recording: Recording | None = None,
    ) -> AsyncIterator[Screen]:
        quick = settings._replace(refresh_seconds=0.1)
        place = recording.home if recording else home
        cockpit = Cockpit(place, session=Session(page, select), settings=quick, recording=recording)
        async with cockpit.run_test(size=size, notifications=True) as pilot:
            screen = Screen(cockpit, pilot)
            await screen.until(lambda: cockpit.snapshot is not None, "a snapshot")
            yield screen

    yield opened
