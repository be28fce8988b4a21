"""One key after the other: each has had its effect before the next one is given out."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from textual.app import App
from textual.dom import DOMNode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.events import Key, Paste
    from textual.message_pump import MessagePump

    GiveOut = Callable[[Key | Paste], Awaitable[None]]

EFFECT_SECONDS = 0.5
"""The longest that a key is held up by the one before it."""


class KeyOrder:
    """Holds keys and pasted text until their turn has come.

    A slow connection delivers many keys at once. Textual hands each to what has the focus at that moment, but moves
    the focus only when a key has bubbled back up to the application, which is after all that arrived with it. What was
    typed behind a tab, an `n` or a `K` would go to the list or screen that was being left, as keys of its own.
    """

    def __init__(self, app: App[None], give_out: "GiveOut") -> None:
        self._app, self._give_out = app, give_out
        self._waiting: asyncio.Queue[Key | Paste] = asyncio.Queue()

    def put(self, event: "Key | Paste") -> None:
        """Take in a key or a pasted text."""
        self._waiting.put_nowait(event)

    async def run(self) -> None:
        """Give out one after the other, as long as the application lives."""
        while True:
            event = await self._waiting.get()
            receiver = self._receiver()
            await self._give_out(event)
            # Twice, because what a key makes a field say (submitted) goes the same way after the key; and what has the
            # focus now, because it may have yet to be composed.
            await _settle(receiver)
            await _settle(receiver)
            await _settle(self._receiver())

    def _receiver(self) -> DOMNode:
        return self._app.focused or self._app.screen


async def _settle(receiver: DOMNode) -> None:
    """Wait until a message that ``receiver`` was sent has come all the way up to the application."""
    for pump in receiver.ancestors_with_self:
        await _idle(pump)


async def _idle(pump: "MessagePump") -> None:
    """Wait until a widget has dealt with all that it was sent so far; one that has gone never does."""
    done = asyncio.Event()
    if pump.call_later(done.set):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), EFFECT_SECONDS)
