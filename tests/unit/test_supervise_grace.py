"""How long a stop waits."""

import pytest

from fttui_engine.runs.attempt import Progress
from fttui_engine.runs.run import Plan
from fttui_engine.supervise.grace import LONGEST_GRACE_SECONDS, grace_seconds, is_saving


def plan(kind: str) -> Plan:
    return Plan("r", kind, ["true"], {}, "/", "", None, 60.0)


@pytest.mark.parametrize(
    ("kind", "step_seconds", "expected"),
    [
        ("train", None, 60.0),
        ("train", 40.0, 180.0),
        ("train", 4000.0, LONGEST_GRACE_SECONDS),
        ("command", 40.0, 60.0),
    ],
)
def test_slow_steps_get_the_time_to_end(kind: str, step_seconds: float | None, expected: float) -> None:
    progress = Progress("train", 5, 100, step_seconds=step_seconds)
    assert grace_seconds(plan(kind), progress) == expected


def test_before_the_first_word_the_plan_says_how_long() -> None:
    assert grace_seconds(plan("train"), None) == 60.0
    assert not is_saving(None)
