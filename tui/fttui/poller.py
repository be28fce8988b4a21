"""A thread that looks at something once in a while and says when it is no longer what it was."""

from collections.abc import Callable
from threading import Event, Thread
from typing import Generic, TypeVar

Picture = TypeVar("Picture")


class Poller(Generic[Picture]):
    """Calls ``look`` every so many seconds, at once after ``wake``, and hands what is new to ``post``.

    While it ``has_more`` to look at, it looks again at once.
    """

    def __init__(
        self,
        name: str,
        look: Callable[[], Picture],
        post: Callable[[Picture], object],
        seconds: float,
        has_more: Callable[[], bool] = bool,
    ) -> None:
        self._look, self._post, self._seconds, self._has_more = look, post, seconds, has_more
        self._woken, self._closed = Event(), Event()
        Thread(target=self._poll, daemon=True, name=f"fttui-{name}").start()

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    def close(self) -> None:
        """End the thread at its next step."""
        self._closed.set()
        self._woken.set()

    def _poll(self) -> None:
        last: Picture | None = None
        while not self._closed.is_set():
            picture = self._look()
            if picture != last and not self._closed.is_set():
                last = picture
                self._post(picture)
            self._woken.wait(0.0 if self._has_more() else self._seconds)
            self._woken.clear()
