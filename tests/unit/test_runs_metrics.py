"""The numbers of a run: each step once, as it was done last."""

import math
from pathlib import Path

import pytest

from fttui_engine.runs.metrics import MetricsFollower, MetricsWriter, read_metrics


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def write(path: Path, *points: tuple[float | str, str]) -> None:
    """Write lines as step and name: ``e`` in front makes an evaluation line, a step of ``-`` none at all."""
    writer = MetricsWriter(path)
    for step, name in points:
        key = "eval_loss" if name.startswith("e") else "loss"
        writer.append({"name": name, key: 1.0} | ({} if step == "-" else {"step": step}))


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
    follower = MetricsFollower(path)
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
    assert follower.garbled_lines == 1


def test_follower_starts_over_with_a_file_that_was_cut_replaced_or_deleted(path: Path) -> None:
    write(path, (1, "a"), (2, "b"))
    follower = MetricsFollower(path)
    follower.poll()
    path.write_text('{"step": 1, "name": "x"}\n')
    assert follower.poll()
    assert [point["name"] for point in follower.points] == ["x"]
    path.unlink()
    assert follower.poll()
    assert follower.points == []
    assert not follower.poll()


def test_following_line_by_line_comes_to_the_same_as_reading_at_once(path: Path) -> None:
    follower = MetricsFollower(path)
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
