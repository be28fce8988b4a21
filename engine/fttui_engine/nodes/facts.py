"""What a machine said of itself."""

import time
from typing import Any, NamedTuple

from fttui_engine.nodes.conversation import Conversation, packages_program
from fttui_engine.nodes.inventory import Machine

CLOCK_TRIES = 3


class Facts(NamedTuple):
    """The answers of one machine, as they came, and what follows from asking."""

    machine: Machine
    said: dict[str, Any]
    clock_offset_seconds: float
    """How far its clock is ahead of this machine's."""
    round_trip_seconds: float

    @property
    def address(self) -> str | None:
        """Where the other machines reach it: what the inventory says, else where ssh does."""
        return self.machine.addr or self.said.get("reached_at")

    @property
    def gpus(self) -> list[dict[str, Any]]:
        """The GPUs that may be used."""
        found = self.said["gpus"] or {}
        allowed = self.machine.gpus
        return [gpu for gpu in found.get("gpus", []) if allowed is None or gpu["index"] in allowed]

    @property
    def packages(self) -> dict[str, Any]:
        """Versions by name; ``trouble`` where they could not be asked."""
        return self.said["packages"] or {"trouble": "it took too long"}

    def to_json(self) -> dict[str, Any]:
        """The facts as ``fttui nodes probe --json`` prints them."""
        return {
            "address": self.address,
            "clock_offset_seconds": self.clock_offset_seconds,
            "round_trip_seconds": self.round_trip_seconds,
            **self.said,
        }


def learn(talk: Conversation) -> Facts:
    """Ask a machine what it is; raises MachineError."""
    tries = []
    for _ in range(CLOCK_TRIES):
        before = time.time()
        there = float(talk.ask("clock"))
        after = time.time()
        tries.append((after - before, there - (before + after) / 2))
    machine = talk.machine
    said = talk.ask(
        "facts",
        python=machine.python or "",
        packages_program=packages_program(),
        scratch=machine.scratch or "",
    )
    trip, offset = min(tries)
    return Facts(machine, said, offset, trip)
