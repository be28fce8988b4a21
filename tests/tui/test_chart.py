"""The loss chart: what it shows, and how little of it a new point changes."""

import math

import pytest

from fttui.ascii_only import in_ascii
from fttui.charts.braille import Canvas, nice_axes, plot, shown_span
from fttui.lines import text_of
from fttui.widgets.loss_chart import LossCurve, chart_lines


def drawn(curve: LossCurve, width: int = 50, height: int = 8) -> list[str]:
    return [text_of(line).rstrip() for line in chart_lines(curve, width, height)]


def falling(steps: int) -> tuple[tuple[int, float], ...]:
    return tuple((step, 1.0 + math.exp(-step / 25)) for step in range(1, steps + 1))


def test_golden_chart_in_braille():
    assert drawn(LossCurve("Loss", falling(100), ((50, 1.2),), 100)) == GOLDEN_BRAILLE


def test_golden_chart_in_ascii():
    lines = [in_ascii(each) for each in drawn(LossCurve("Loss", falling(100), (), 100))]
    assert lines[1:] == GOLDEN_ASCII
    assert "".join(lines[1:]).isascii()


@pytest.mark.parametrize("width", [50, 80, 150])
def test_a_new_point_changes_only_the_last_columns(width):
    """The point of fixed buckets: over SSH a frame costs some cells and not the chart."""
    points = falling(300)
    for count in range(260, 299):
        before = drawn(LossCurve("Loss", points[:count], (), 1000), width, 12)
        after = drawn(LossCurve("Loss", points[: count + 1], (), 1000), width, 12)
        newest = 9 + (count * (2 * (width - 9) - 1) // 500) // 2
        changed = {x for old, new in zip(before, after, strict=True) for x in differing(old, new)}
        assert all(newest - 2 <= x <= newest + 2 for x in changed), (count, newest, changed)


def differing(old: str, new: str) -> set[int]:
    length = max(len(old), len(new))
    pairs = zip(old.ljust(length), new.ljust(length), strict=True)
    return {x for x, (a, b) in enumerate(pairs) if a != b}


def test_the_shown_span_only_ever_doubles_and_the_end_of_a_run_fills_it():
    spans = [shown_span(step, 900) for step in range(1, 901)]
    assert spans == sorted(spans)
    assert spans[-1] == 900
    assert len(set(spans)) <= 8
    assert all(span >= step for step, span in enumerate(spans, 1))
    assert all(shown_span(step, None) >= step for step in range(2000))


def test_a_single_spike_among_thousands_of_points_is_seen():
    calm = [(step, 1.0 + step % 2 * 0.01) for step in range(1, 20_001)]
    calm[12_345] = (12_346, 9.0)
    lines = drawn(LossCurve("Loss", tuple(calm), (), 20_000), 60, 10)
    top, bottom = "".join(lines[1:3]), "".join(lines[7:9])
    assert any("\u2801" <= mark <= "\u28ff" for mark in top), "the spike"
    assert any("\u2801" <= mark <= "\u28ff" for mark in bottom), "the calm"


def test_a_loss_that_is_no_number_leaves_a_mark_and_no_crash():
    points = (*falling(40), (41, float("nan")), (42, float("inf")), (43, 1.3))
    lines = drawn(LossCurve("Loss", points, (), 50))
    assert "x" in lines[1]


def test_points_that_are_all_broken_are_marked_too():
    lines = drawn(LossCurve("Loss", ((1, float("nan")), (2, float("inf"))), (), 10))
    assert "x" in lines[1]


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e-9, 1e12])
def test_a_constant_loss_is_a_level_line(value):
    canvas, points = Canvas(30, 6), tuple((step, value) for step in range(1, 31))
    plot(canvas, points, nice_axes(points, 30, 3))
    assert sum(1 for row in canvas.rows() if row.strip()) == 1


def test_an_empty_chart_says_why():
    lines = drawn(LossCurve("Loss", absent="The first numbers come after the first logged step."))
    assert "after the first logged step" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("size", [(1, 1), (9, 3), (20, 2), (17, 3)])
def test_a_chart_without_room_does_not_crash(size):
    for line in chart_lines(LossCurve("Loss", falling(30), (), 30), *size):
        assert len(text_of(line)) <= max(size[0], 8)


GOLDEN_BRAILLE = [
    "── Loss ───────────────────────────────── o eval ─",
    "  2.000 │⠢⣀",
    "        │  ⠣⢄",
    "        │    ⠑⠢⣄",
    "  1.500 │       ⠉⠒⠤⣀⡀",
    "        │           ⠈⠙⠒⠢⠤⢄⣀⣀⡀o",
    "  1.000 │                   ⠉⠉⠉⠑⠒⠒⠒⠒⠲⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⢄⣀⣀",
    "         0      20      40      60      80     100",
]
GOLDEN_ASCII = [
    "  2.000 |:.",
    "        |  :.",
    "        |    ':.",
    "  1.500 |       ''...",
    "        |           ''':.....",
    "  1.000 |                   '''''''':.............",
    "         0      20      40      60      80     100",
]
