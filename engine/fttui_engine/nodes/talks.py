"""Conversations with several machines at once: as slow as the slowest of them, and stopped by none."""

from collections.abc import Callable, Iterable
from functools import partial
from threading import Thread
from types import TracebackType
from typing import Self, TypeVar

from fttui_engine.nodes.conversation import Conversation
from fttui_engine.nodes.inventory import Machine
from fttui_engine.nodes.ssh import MachineError

Answer = TypeVar("Answer")


class Talks:
    """Open conversations by the machine's name; one that breaks is out, with its reason in ``broken``."""

    def __init__(self, machines: Iterable[Machine]) -> None:
        """Connect to all of them at once."""
        self.machines = list(machines)
        self.open: dict[str, Conversation] = {}
        self.broken: dict[str, MachineError] = {}
        self.open = self._at_once({each.name: partial(Conversation, each) for each in self.machines})

    def each(
        self, ask: Callable[[Conversation], Answer], names: Iterable[str] | None = None
    ) -> dict[str, Answer]:
        """Ask all machines, or those of these names, at the same time; returns the answers of those that gave one."""
        wanted = [name for name in (self.open if names is None else names) if name in self.open]
        answers = self._at_once({name: partial(ask, self.open[name]) for name in wanted})
        for name in set(wanted) - set(answers):
            self.open.pop(name).close()
        return answers

    def close(self) -> None:
        """End all conversations; the shared connections stay."""
        self._at_once({name: talk.close for name, talk in self.open.items()})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _at_once(self, calls: dict[str, Callable[[], Answer]]) -> dict[str, Answer]:
        """Call all of them at once; the threads are daemons, so that Ctrl+C need not wait for a machine's deadline."""
        answers: dict[str, Answer] = {}
        ours: list[Exception] = []

        def call(name: str) -> None:
            try:
                answers[name] = calls[name]()
            except MachineError as error:
                self.broken[name] = error
            except Exception as error:  # noqa: BLE001 - raised again below, in the thread that asked
                ours.append(error)

        threads = [Thread(target=call, args=(name,), daemon=True) for name in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if ours:
            raise ours[0]
        return {name: answers[name] for name in calls if name in answers}
