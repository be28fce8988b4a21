"""What a check finds, and what a list of findings comes to."""

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Literal, NamedTuple

Level = Literal["ok", "note", "warning", "problem"]


class Health(IntEnum):
    """Exit codes of ``fttui doctor``."""

    WELL = 0
    WARNINGS = 1
    CANNOT_TRAIN = 2


class Finding(NamedTuple):
    """One sentence about one subject, and where something is wrong one about what to do."""

    subject: str
    level: Level
    text: str
    fix: str = ""


class Check(NamedTuple):
    """Something to look at: what it is called, how, how long that may take, and how to give it up."""

    subject: str
    look: Callable[[], list[Finding]]
    deadline_seconds: float = 10.0
    give_up: Callable[[], object] = lambda: None


def health(findings: Iterable[Finding]) -> Health:
    """What the findings come to."""
    levels = {finding.level for finding in findings}
    if "problem" in levels:
        return Health.CANNOT_TRAIN
    return Health.WARNINGS if "warning" in levels else Health.WELL
