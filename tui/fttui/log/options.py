"""How a log is shown."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """What a person can switch, and the room there is."""

    width: int = 80
    height: int = 22
    wraps: bool = False
    colours: bool = True
    timestamps: bool = True
    left: int = 0
    """How many cells long lines are shifted, where they are not wrapped."""
