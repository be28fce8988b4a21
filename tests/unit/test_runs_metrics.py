"""The numbers of a run: each step once, as it was done last."""

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fttui_engine.runs.metrics import (
    LONGEST_LINE_BYTES,
    MetricsFollower,
    MetricsWriter,
    read_metrics,
    sample_metrics,
)

if TYPE_CHECKING:
    from fttui_engine.runs.files import Json


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def write(path: Path, *points: tuple[float | str, str]) -> None:
    """Write lines as step and name: ``e`` in front makes an evaluation line, a step of ``-`` none at all."""
    writer = MetricsWriter(path)
    for step, name in points:
        key = "eval_loss" if name.startswith("e") else "loss"
        writer.append({"name": name, key: 1.0} | ({} if step == "-" else {"step": step}))


class Reader:
    """Keeps the points that a follower tells of."""

    def __init__(self, path: Path, most_bytes: int | None = None) -> None:
        self.follower = MetricsFollower(path)
        self.points: list[Json] = []
        self._most_bytes = most_bytes

    def poll(self) -> bool:
        news = self.follower.poll(self._most_bytes)
        if news is None:
            return False
        self.points = self.points[: news.kept] + news.points
        return True


def names(path: Path) -> list[str]:
    return [point["name"] for point in read_metrics(path)]


def test_steps_done_again_after_a_resume_replace_the_earlier(path: Path) -> None:
    write(path, (1, "a"), (2, "b"), (3, "c"), (4, "d"), (3, "C"), (4, "D"), (5, "E5"))
    assert names(path) == ["a", "b", "C", "D", "E5"]


def test_restart_begins_anew(path: Path) -> None:
    write(path, (1, "a"), (2, "b"), (2, "e"), (1, "A"))
    assert names(path) == ["A"]


def test_evaluation_stands_beside_training_at_the_same_step(path: Path) -> None:
    write(path, (1, "a"), (2, "b"), (2, "e2"), (3, "c"))
    assert names(path) == ["a", "b", "e2", "c"]


def test_training_step_done_again_takes_its_evaluation_with_it(path: Path) -> None:
    write(path, (1, "a"), (2, "b"), (2, "e2"), (2, "B"), (2, "eB"), (3, "c"))
    assert names(path) == ["a", "B", "eB", "c"]


def test_evaluation_alone_done_again_keeps_the_training_line(path: Path) -> None:
    write(path, (1, "a"), (2, "b"), (2, "e2"), (2, "eB"))
    assert names(path) == ["a", "b", "eB"]


def test_evaluation_that_was_still_due_is_added(path: Path) -> None:
    write(path, (1, "a"), (2, "b"), (2, "e2"))
    assert names(path) == ["a", "b", "e2"]


def test_line_without_a_step_does_not_protect_what_stands_before_it(path: Path) -> None:
    write(path, (1, "a"), (2, "b"), (3, "c"), ("-", "sum"), (2, "B"), (3, "C"))
    assert names(path) == ["a", "B", "C"]
    write(path, ("-", "sum"), (4, "d"))
    assert names(path) == ["a", "B", "C", "sum", "d"]


@pytest.mark.parametrize("step", ["NaN", "three", None, [1], True and "Infinity"])
def test_step_that_is_no_number_harms_nothing(path: Path, step: object) -> None:
    writer = MetricsWriter(path)
    for each in (1, 2, step, 2, 3):
        writer.append({"step": each, "loss": 1.0})
    assert [point["step"] for point in read_metrics(path) if isinstance(point["step"], int)] == [1, 2, 3]


def test_what_is_no_number_comes_back_as_itself(path: Path) -> None:
    MetricsWriter(path).append({"step": 1, "loss": math.nan, "grad_norm": math.inf, "note": "NaN of a kind"})
    (point,) = read_metrics(path)
    assert math.isnan(point["loss"])
    assert point["grad_norm"] == math.inf
    assert point["note"] == "NaN of a kind"


def test_follower_reads_only_what_is_new(path: Path) -> None:
    follower = Reader(path)
    assert not follower.poll()
    write(path, (1, "a"))
    assert follower.poll()
    assert not follower.poll()
    write(path, (2, "b"))
    with path.open("ab") as file:
        file.write(b'{"step": 3, "na')
    assert follower.poll()
    assert [point["name"] for point in follower.points] == ["a", "b"]
    with path.open("ab") as file:
        file.write(b'me": "c"}\n\xff\xff\n')
    assert follower.poll()
    assert [point["name"] for point in follower.points] == ["a", "b", "c"]
    assert follower.follower.garbled_lines == 1


def test_follower_starts_over_with_a_file_that_was_cut_replaced_or_deleted(path: Path) -> None:
    write(path, (1, "a"), (2, "b"))
    follower = Reader(path)
    follower.poll()
    path.write_text('{"step": 1, "name": "x"}\n')
    assert follower.poll()
    assert [point["name"] for point in follower.points] == ["x"]
    path.unlink()
    assert follower.poll()
    assert follower.points == []
    assert not follower.poll()


def test_following_line_by_line_comes_to_the_same_as_reading_at_once(path: Path) -> None:
    follower = Reader(path)
    for point in [
        (1, "a"),
        (2, "b"),
        (2, "e"),
        (3, "c"),
        ("-", "s"),
        (2, "B"),
        (2, "eB"),
        (3, "C"),
        (1, "A"),
    ]:
        write(path, point)
        follower.poll()
        assert follower.points == read_metrics(path)


def test_a_large_file_is_read_in_parts_that_come_to_the_same(path: Path) -> None:
    for first in (1, 1_500, 700):
        write(path, *((step, f"{first}-{step}") for step in range(first, first + 2_000)))
    in_parts = Reader(path, most_bytes=1)
    looks, shares = 0, []
    while in_parts.poll():
        looks += 1
        shares.append(in_parts.follower.read_share)
    assert looks > 2
    assert shares == sorted(shares) and shares[0] < 0.5 and shares[-1] == 1
    assert in_parts.points == read_metrics(path)
    assert [point["step"] for point in in_parts.points] == list(range(1, 2_700))
    assert not in_parts.follower.has_more


def test_a_line_beyond_all_measure_is_passed_over(path: Path) -> None:
    write(path, (1, "a"))
    with path.open("ab") as file:
        file.write(b"x" * (LONGEST_LINE_BYTES + 100_000) + b"\n")
    write(path, (2, "b"))
    follower = Reader(path)
    follower.poll()
    assert [point["name"] for point in follower.points] == ["a", "b"]
    assert follower.follower.garbled_lines


def test_two_objects_in_a_line_are_garbled_and_harm_no_other(path: Path) -> None:
    path.write_bytes(b'{"step": 1}\n{"step": 2},{"step": 3}\n\n[1]\n{"step": 4, "loss": "NaN"}\n')
    follower = Reader(path)
    follower.poll()
    assert [point["step"] for point in follower.points] == [1, 4]
    assert math.isnan(follower.points[1]["loss"])
    assert follower.follower.garbled_lines == 2


def test_a_sample_is_spread_over_the_whole_file(path: Path) -> None:
    write(path, *((step, "loss") for step in range(1, 5_001)))
    steps = [point["step"] for point in sample_metrics(path, 100)]
    assert steps[0] == 1 and steps[-1] == 5_000
    assert all(30 <= later - earlier <= 70 for earlier, later in itertools.pairwise(steps))
    assert sample_metrics(path.with_name("nothing"), 100) == []
