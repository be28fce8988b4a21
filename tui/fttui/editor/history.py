"""Undo and redo: every text that the document has been, one step after the other."""

from typing import NamedTuple

MOST_STEPS = 1_000


class Step(NamedTuple):
    """A text, and the key or line that was changed to come to it."""

    text: str
    at: str = ""


class History:
    """The texts of a document; the form and the text view share it."""

    def __init__(self, text: str) -> None:
        self._steps = [Step(text)]
        self._now = 0
        self._may_join = False

    @property
    def text(self) -> str:
        """The text as it is now."""
        return self._steps[self._now].text

    def change(self, text: str, at: str, *, joins: bool = False) -> None:
        """Take in a new text; one that ``joins`` makes one step with that before it, as letters of a word do."""
        if text == self.text:
            return
        if joins and self._may_join and self._steps[self._now].at == at:
            del self._steps[self._now :]
        else:
            del self._steps[self._now + 1 :]
        self._steps.append(Step(text, at))
        del self._steps[: -MOST_STEPS - 1]
        self._now = len(self._steps) - 1
        self._may_join = joins

    def undo(self) -> Step | None:
        """Go one step back; return the text and what had been changed, or nothing at the beginning."""
        if not self._now:
            return None
        at = self._steps[self._now].at
        self._now -= 1
        self._may_join = False
        return Step(self.text, at)

    def redo(self) -> Step | None:
        """Go one step forward again."""
        if self._now + 1 >= len(self._steps):
            return None
        self._now += 1
        self._may_join = False
        return self._steps[self._now]
