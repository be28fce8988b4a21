"""Reading a log page by page: nothing moves but what the reader moves."""

import random
import time
from pathlib import Path

import pytest

from fttui.lines import text_of
from fttui.log.layout import rows_of
from fttui.log.options import Options
from fttui.log.pager import Pager, problem_of

WAIT_SECONDS = 20.0
SIZE = Options(width=40, height=10)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    return path


@pytest.fixture
def read(log):
    pagers = []

    def start(options: Options = SIZE) -> Pager:
        pagers.append(Pager(log, options))
        return pagers[-1]

    yield start
    for pager in pagers:
        pager.close()


def append(path: Path, text: str) -> None:
    with path.open("a") as log:
        log.write(text)


def texts(pager: Pager) -> list[str]:
    return [text_of(row.line) for row in pager.page().rows]


def numbers(first: int, count: int = 10) -> list[str]:
    return [f"line {number}" for number in range(first, first + count)]


def wait(pager: Pager, condition) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while pager.look() or not condition(pager.page()):
        assert time.monotonic() < deadline, pager.page()
        time.sleep(0.01)


def test_it_follows_stays_when_scrolled_and_follows_again_from_the_end(log, read):
    pager = read()
    assert texts(pager) == numbers(990)
    append(log, "line 1000\n")
    pager.look()
    assert texts(pager) == numbers(991)
    pager.move(-3)
    assert texts(pager) == numbers(988) and not pager.page().is_following
    append(log, "line 1001\n")
    pager.look()
    assert texts(pager) == numbers(988)
    pager.move(3)
    assert texts(pager) == numbers(991) and not pager.page().is_following
    pager.move(1)
    assert texts(pager) == numbers(992) and pager.page().is_following
    pager.to_start()
    assert texts(pager) == numbers(0)
    pager.move_pages(1)
    assert texts(pager) == numbers(8)
    pager.move_pages(-5)
    assert texts(pager) == numbers(0)
    pager.move_pages(10_000)
    assert texts(pager) == numbers(992) and pager.page().is_following


def test_a_log_that_fits_the_screen_is_shown_whole_and_followed(log, read):
    log.write_text("one\ntwo\n")
    pager = read()
    pager.move(-5)
    assert texts(pager) == ["one", "two"] and pager.page().is_following
    append(log, "three")
    pager.look()
    assert texts(pager) == ["one", "two", "three"]
    append(log, " is longer now\rfour\n")
    pager.look()
    assert texts(pager) == ["one", "two", "four"]


def test_wrapped_lines_are_scrolled_by_their_rows(log, read):
    log.write_text("".join(f"{number:02}" + "x" * 88 + "\n" for number in range(20)))
    pager = read(Options(width=40, height=10, wraps=True))
    rows = [f"{number:02}" for number in range(20) for _ in range(3)]
    assert len(texts(pager)) == 10
    seen = []
    pager.to_start()
    for _ in range(51):
        seen.append(texts(pager)[0][:2])
        pager.move(1)
    assert [text for text in seen if text != "xx"] == sorted(set(rows))[:17]
    assert pager.page().is_following
    pager.move(-1)
    before = texts(pager)
    pager.move(-1)
    assert texts(pager)[1:] == before[:-1]


def test_long_lines_are_shifted_where_they_are_not_wrapped(log, read):
    log.write_text("a" * 45 + "the end\n" + "\u4e16" * 30 + "\n")
    pager = read(Options(width=20, height=5))
    assert texts(pager) == ["a" * 20, "\u4e16" * 10]
    pager.set_options(Options(width=20, height=5, left=40))
    assert texts(pager) == ["aaaaathe end", "\u4e16" * 10]


def test_a_filter_shows_only_what_matches_also_what_is_written_later(log, read):
    pager = read()
    pager.filter_by("7$")
    wait(pager, lambda page: not page.filter.is_busy and page.filter.count == 100)
    assert texts(pager) == [f"line {number}" for number in range(907, 1000, 10)]
    append(log, "line 1000\nline 1007\n")
    wait(pager, lambda page: page.filter.count == 101)
    assert texts(pager)[-1] == "line 1007"
    pager.move(-1)
    pager.to_start()
    assert texts(pager)[:2] == ["line 7", "line 17"]
    pager.filter_by("nothing like it")
    wait(pager, lambda page: not page.filter.is_busy)
    assert texts(pager) == []
    pager.filter_by("")
    assert texts(pager)[-1] == "line 1007"


def test_matches_are_gone_to_one_by_one(log, read):
    pager = read()
    pager.search_for("line 5.0$")
    wait(pager, lambda page: page.search.position is not None)
    assert "line 590" in texts(pager) and pager.page().search.count == 10
    pager.find(1)
    assert pager.page().problem == "no more matches below"
    for number in (580, 570):
        pager.find(-1)
        assert f"line {number}" in texts(pager)
    assert pager.page().search.position == 3
    pager.to_start()
    pager.find(1)
    assert "line 500" in texts(pager)
    pager.find(-1)
    assert pager.page().problem == "no more matches above"
    pager.filter_by("[02468]0$")
    wait(pager, lambda page: page.filter.count == 49)
    pager.find(1)
    assert "line 520" in texts(pager), "510 is hidden by the filter"
    pager.search_for("")
    assert pager.page().search is None


def test_a_rank_is_chosen_among_those_that_wrote(log, read):
    log.write_text("".join(f"[rank{number % 3}] step {number}\n" for number in range(30)) + "launcher\n")
    pager = read()
    for rank, last in ((0, "launcher"), (1, "[rank1] step 28"), (2, "[rank2] step 29")):
        pager.next_rank(1)
        assert pager.page().rank == rank
        wait(pager, lambda page: not page.filter.is_busy)
        assert texts(pager)[-1] == last
    pager.next_rank(1)
    assert pager.page().rank is None and texts(pager)[-1] == "launcher"


def test_lines_are_selected_and_taken_as_plain_text(log, read):
    log.write_text(
        "".join(f"\x1b[3{number % 8}mline {number}\x1b[0m\x1b]52;c;eA==\x07\n" for number in range(30))
    )
    pager = read()
    assert pager.text() == numbers(20)
    pager.select()
    pager.move(-2)
    page = pager.page()
    assert [text_of(row.line) for row in page.rows if row.is_selected] == numbers(27, 3)
    assert pager.text() == numbers(27, 3) and page.selected_lines == 3
    pager.move(-20)
    assert pager.text() == numbers(7, 23) and texts(pager)[0] == "line 7"
    pager.move(100)
    assert pager.text() == ["line 29"]
    assert pager.deselect() and not pager.deselect()


def test_a_file_that_was_cut_or_replaced_is_named_and_read_from_its_end(log, read):
    pager = read()
    pager.filter_by("line")
    wait(pager, lambda page: page.filter.count == 1000)
    pager.to_start()
    log.write_text("line of a new start\n")
    wait(pager, lambda page: page.filter.count == 1)
    assert "cut short at" in pager.page().notice
    assert texts(pager) == ["line of a new start"]


@pytest.mark.parametrize("pattern", ["(", "[a", "*x", "a{99999999999999999999}", "(?P<1>x)"])
def test_a_pattern_that_is_none_is_explained(pattern):
    assert problem_of(pattern).startswith("not a pattern")
    assert problem_of("a|b.*") == ""


@pytest.mark.parametrize("seed", range(15))
def test_no_order_of_keys_loses_or_repeats_a_line(seed, log, read):
    chance = random.Random(seed)
    words = ["short", "x" * 100, "", "\u4e16\u754c" * 30, "caf\u00e9 \r over", "\x1b[31mred"]
    log.write_text("".join(f"{number:04} {chance.choice(words)}\n" for number in range(300)), "utf-8")
    pager = read(Options(width=30, height=8, wraps=bool(seed % 2)))
    for _ in range(60):
        chance.choice([
            lambda: pager.move(chance.randrange(-30, 30)),
            lambda: pager.move_pages(chance.choice([-1, 1])),
            pager.follow,
            pager.to_start,
            lambda: append(log, "9999 more\n"),
            pager.look,
        ])()  # fmt: skip
        page = pager.page()
        starts = list(dict.fromkeys(row.start for row in page.rows))
        assert len(page.rows) == 8
        content = log.read_bytes()
        between = content[starts[0] : starts[-1]]
        assert between.count(b"\n") == len(starts) - 1, "every line from the first to the last is there"


def test_a_key_in_a_line_of_megabytes_lays_out_only_the_part_that_it_brings_into_view(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"%07d " % number for number in range(1_000_000)) + b"\nthe last line\n")
    pager = Pager(path, Options(width=80, height=20))
    rows_of.cache_clear()
    pager.look()
    pager.page()
    for direction in (-1, -1, 1, -1):
        before = rows_of.cache_info().misses
        pager.move(direction)
        pager.page()
        assert rows_of.cache_info().misses - before <= 2
    pager.close()
