"""Lines as data: their widths, and the smallest region that has to be sent again."""

import pytest

from fttui import figures
from fttui.lines import Span, fit, fit_line, line, rule, spread, text_of, width_of, wrap
from fttui.widgets.line_panel import differing_region


@pytest.mark.parametrize(
    "text", ["", "plain", "a much longer text than fits", "漢字漢字漢字漢字", "e\u0301" * 20]
)
@pytest.mark.parametrize("width", [1, 2, 5, 10, 11])
def test_a_fitted_text_takes_exactly_its_cells(text, width):
    assert width_of([Span(fit(text, width))]) == width
    assert width_of(fit_line(line(text, Span(text, "bad")), width)) == width


def test_a_cropped_text_shows_that_it_was_cropped():
    assert fit("checkpoint", 6) == "check~"


def test_the_right_part_of_a_spread_line_stays_when_the_left_is_too_long():
    assert text_of(spread(line("a very long left part"), line("right"), 12)) == "a very right"


@pytest.mark.parametrize("width", [1, 4, 10, 40])
def test_a_rule_never_exceeds_its_width(width):
    assert width_of(fit_line(rule("A title", width, "a remark"), width)) == width


def test_wrapping_breaks_at_spaces_and_inside_words_that_are_too_long():
    assert [text_of(one) for one in wrap("one two /a/path/without/spaces", 8)] == [
        "one two",
        "/a/path/",
        "without/",
        "spaces",
    ]


@pytest.mark.parametrize(
    ("old", "new", "first", "last"),
    [
        ("step 312 of 900", "step 313 of 900", 7, 7),
        ("abc", "abd", 2, 2),
        ("漢字 1 end", "漢字 2 end", 5, 5),
        ("漢字x", "漢語x", 2, 3),
        ("e\u0301e\u0301 1", "e\u0301e\u0301 2", 3, 3),
    ],
)
def test_only_the_cells_that_differ_are_sent_again(old, new, first, last):
    region = differing_region(line(old), line(new), 4)
    assert region.y == 4
    assert region.x <= first
    assert region.right > last
    assert region.width <= last - first + 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0s"),
        (59.6, "1m00s"),
        (235, "3m55s"),
        (1380, "23m"),
        (9660, "2h41m"),
        (300_000, "3d11h"),
    ],
)
def test_durations(seconds, text):
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (1.21449, "1.214"),
        (12.3456, "12.35"),
        (123.45, "123.5"),
        (float("nan"), "nan"),
        (2e-5, "2.0e-05"),
    ],
)
def test_losses(value, text):
    assert figures.loss(value) == text


def test_other_figures():
    assert figures.count(18_400) == "18.4k"
    assert figures.memory(71.2 * 2**30) == "71.2G"
    assert figures.rate(1.8e-4) == "1.8e-4"
    assert figures.percent(999, 1000) == "99%"
    assert figures.age(7300) == "2h"


def test_a_change_of_colour_alone_is_sent_too():
    region = differing_region(line("ab", Span("cd", "good")), line("ab", Span("cd", "bad")), 0)
    assert (region.x, region.right) == (1, 5)
