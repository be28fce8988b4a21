"""Conversations with several machines at once: as slow as the slowest of them, and stopped by none."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from fttui_engine.nodes.conversation import Conversation
from fttui_engine.nodes.inventory import Machine
from fttui_engine.nodes.ssh import MachineError

Answer = TypeVar("Answer")
MOST_AT_ONCE = 64


class Talks:
    """Open conversations by the machine's name; one that breaks is out, with its reason in ``broken``."""

    def __init__(self, machines: Iterable[Machine]) -> None:
        """Connect to all of them at once."""
        self.machines = list(machines)
        self.open: dict[str, Conversation] = {}
        self.broken: dict[str, MachineError] = {}
        self._pool = ThreadPoolExecutor(max_workers=max(1, min(MOST_AT_ONCE, len(self.machines))))
        opening = {machine.name: self._pool.submit(Conversation, machine) for machine in self.machines}
        for name, future in opening.items():
            try:
                self.open[name] = future.result()
            except MachineError as error:
                self.broken[name] = error

    def each(
        self, ask: Callable[[Conversation], Answer], names: Iterable[str] | None = None
    ) -> dict[str, Answer]:
        """Ask all machines, or those of these names, at the same time; returns the answers of those that gave one."""
        wanted = [name for name in (self.open if names is None else names) if name in self.open]
        futures = {name: self._pool.submit(ask, self.open[name]) for name in wanted}
        answers: dict[str, Answer] = {}
        for name, future in futures.items():
            try:
                answers[name] = future.result()
            except MachineError as error:
                self.broken[name] = error
                self.open.pop(name).close()
        return answers

    def close(self) -> None:
        """End all conversations; the shared connections stay."""
        for _ in self._pool.map(Conversation.close, self.open.values()):
            pass
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
