"""What the threads tell the screens; each is named for what happened."""

from textual.message import Message

from fttui.snapshot import Snapshot


class SnapshotTaken(Message):
    """There is a newer picture of everything."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        """Only the newest snapshot counts: a slow terminal must not make a queue of old ones."""
        return isinstance(message, SnapshotTaken)


class ActionEnded(Message):
    """Something that a person asked for is done, or could not be."""

    def __init__(self, key: str, text: str, *, failed: bool = False, run_id: str | None = None) -> None:
        super().__init__()
        self.key, self.text, self.failed, self.run_id = key, text, failed, run_id


class TroubleMet(Message):
    """Something that nobody asked for went wrong, and can be lived with."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class ThreadCrashed(Message):
    """A thread ended by an error of ours."""

    def __init__(self, report: str) -> None:
        super().__init__()
        self.report = report
