"""Text that others wrote: whatever stands in it, a terminal obeys none of it, and no line is too long."""

import time
from pathlib import Path

import pytest

from fttui_engine.runs.logs import (
    LONGEST_LINE_CHARACTERS,
    LogFollower,
    log_lines,
    one_line,
    plain_text,
    read_log,
    tail,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b[2J\x1b[H\x1b[?1049hx", "x"),
        (b"a\x1b]52;c;ZXZpbA==\x07b", "ab"),
        (b"a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"),
        # A bare byte 9C is no UTF-8 and so no end of the title: all of the line belongs to it.
        (b"a\x1b]0;title\x9cb", "a"),
        ("a\u009d52;c;ZXZpbA==\u009cb".encode(), "ab"),
        ("a\u009b31mb".encode(), "ab"),
        (b"a\x1bP+q544e\x1b\\b", "ab"),
        (b"a\x1b_Gf=100;AAAA\x1b\\b", "ab"),
        (b"a\x1b]52;never ended", "a"),
        (b"a\x1b", "a"),
        (b"a\x1bcb", "ab"),
        (b"a\x1b(0b", "ab"),
        (b"bell\x07 back\x08\x08", "bell back"),
        (b"caf\xe9 \xff\xfe", "caf\ufffd \ufffd\ufffd"),
        (b"tab\there", "tab\there"),
        ("\u202egnp.exe".encode(), "gnp.exe"),
        (b"10%\r50%\r100%", "100%"),
        (b"10%\r100%\r", "100%"),
        (b"windows\r", "windows"),
        (b"\x1b\x1b[31m[31mx", "[31mx"),
        (b"nul\x00led", "nulled"),
    ],
)
def test_nothing_in_a_line_has_power_over_the_terminal(content: bytes, shown: str) -> None:
    (line,) = log_lines(content)
    assert line == shown


def obeyed(text: str) -> list[str]:
    """Return the characters of a text that a terminal would obey."""
    return [each for each in text if each != "\t" and (ord(each) < 32 or 127 <= ord(each) < 160)]


def test_any_bytes_come_out_inert() -> None:
    content = bytes(byte for first in range(256) for second in range(256) for byte in (0x1B, first, second))
    assert not any(obeyed(line) for line in log_lines(content))
    every_character = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    assert not obeyed(one_line(every_character))
    assert not set("\u2028\u2029\u202e\u2066\ufeff") & set(one_line(every_character))


def test_newlines_stay_in_text_and_go_from_a_line() -> None:
    assert plain_text("a\nb\tc") == "a\nb\tc"
    assert one_line("a\nb\tc") == "a b c"


def test_tail_returns_the_last_lines(path: Path) -> None:
    path.write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert tail(path, 3) == ["line 49997", "line 49998", "line 49999"]
    assert tail(path, 0) == []
    assert len(tail(path, 100_000)) == 50_000


def test_tail_shows_a_last_line_without_newline(path: Path) -> None:
    path.write_text("a\nb")
    assert tail(path, 5) == ["a", "b"]
    assert tail(path.with_name("nowhere"), 5) == []


def test_huge_line_is_cut_and_costs_no_time(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"first\n")
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b"\nlast\n")
    started = time.process_time()
    assert tail(path, 1) == ["last"]
    lines = tail(path, 10)
    assert [len(line) for line in lines] == [LONGEST_LINE_CHARACTERS, 4]
    assert [len(line) for line in read_log(path)] == [5, LONGEST_LINE_CHARACTERS, 4]
    assert time.process_time() - started < 5.0


def test_progress_bar_of_megabytes_shows_its_last_version(path: Path) -> None:
    with path.open("wb") as file:
        for number in range(200_000):
            file.write(b"\r%d/200000" % number)
        file.write(b"\ndone")
    assert list(read_log(path)) == ["199999/200000", "done"]
    assert tail(path, 2) == ["199999/200000", "done"]


def test_read_log_of_nothing_is_nothing(path: Path) -> None:
    assert list(read_log(path)) == []


def test_follower_yields_complete_lines_once(path: Path) -> None:
    path.write_text("old\n")
    follower = LogFollower(path)
    assert follower.poll() == []
    with path.open("ab", buffering=0) as file:
        file.write(b"one\ntw")
        assert follower.poll() == ["one"]
        file.write(b"o\nthree")
        assert follower.poll() == ["two"]
        assert follower.rest() == ["three"]


def test_follower_waits_for_the_file_and_starts_over_when_it_is_cut(path: Path) -> None:
    follower = LogFollower(path, from_start=True)
    assert follower.poll() == []
    path.write_text("first\nsecond\n")
    assert follower.poll() == ["first", "second"]
    path.write_text("new\n")
    assert follower.poll() == ["new"]


def test_character_split_between_two_writes_is_whole(path: Path) -> None:
    path.touch()
    follower = LogFollower(path)
    with path.open("ab", buffering=0) as file:
        file.write("\u00e9".encode()[:1])
        assert follower.poll() == []
        file.write("\u00e9".encode()[1:] + b"\n")
        assert follower.poll() == ["\u00e9"]
