"""A log by offsets: the same lines from whichever side one comes, however long, torn or growing they are."""

import random
import time
import tracemalloc
from pathlib import Path

import pytest

from fttui.lines import text_of
from fttui.log import log_file
from fttui.log.line_counter import SLICE_BYTES, LineCounter
from fttui.log.line_text import plain, shown
from fttui.log.log_file import BLOCK_BYTES, LogFile
from fttui.log.options import Options
from fttui.log.pager import Pager
from fttui_engine.runs.log_cut import cut_middle

ALPHABET = (b"a", b"bb", b"\n", b"\n", b"\r", b"\xff", "\u00e9".encode(), b"x" * 5, b"y" * 40, b"\0")


def opened(path: Path) -> LogFile:
    file = LogFile(path)
    file.refresh()
    return file


def forwards(file: LogFile) -> list[tuple[int, int, bytes]]:
    pieces, start = [], 0
    while piece := file.at(start):
        pieces.append(tuple(piece))
        start = piece.end
    return pieces


def backwards(file: LogFile) -> list[tuple[int, int, bytes]]:
    pieces, start = [], file.size
    while piece := file.before(start):
        pieces.append(tuple(piece))
        start = piece.start
    return pieces[::-1]


@pytest.mark.parametrize("seed", range(60))
def test_lines_are_the_same_from_both_sides_and_from_the_middle(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(log_file, "BLOCK_BYTES", 16)
    chance = random.Random(seed)
    content = b"".join(chance.choices(ALPHABET, k=chance.randrange(120)))
    path = tmp_path / "log"
    path.write_bytes(content)
    file = opened(path)
    pieces = forwards(file)
    assert backwards(file) == pieces
    assert b"".join(content[start:end] for start, end, _ in pieces) == content
    assert all(len(raw) <= 2 * 16 and b"\n" not in raw for _, _, raw in pieces)
    starts = [start for start, _, _ in pieces]
    for offset in range(len(content)):
        assert file.start_of(offset) == max(start for start in starts if start <= offset)
    newlines = [place + 1 for place, byte in enumerate(content) if byte == 10]
    assert set(newlines) - {len(content)} <= set(starts)


@pytest.mark.parametrize("seed", range(20))
def test_what_was_found_stays_true_while_the_file_grows(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(log_file, "BLOCK_BYTES", 16)
    chance = random.Random(seed)
    path = tmp_path / "log"
    path.touch()
    file = opened(path)
    complete: list[tuple[int, int, bytes]] = []
    for _ in range(30):
        with path.open("ab") as log:
            log.write(b"".join(chance.choices(ALPHABET, k=chance.randrange(12))))
        file.refresh()
        pieces = forwards(file)
        assert pieces[: len(complete)] == complete
        assert backwards(file) == pieces
        complete = pieces[:-1]


def test_a_line_without_end_is_shown_in_parts(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"first\n" + b"x" * 1_000_000 + b"\nlast\n")
    pieces = forwards(opened(path))
    assert pieces[0][2] == b"first"
    assert pieces[-1][2] == b"last"
    assert all(len(raw) <= 2 * BLOCK_BYTES for _, _, raw in pieces)
    assert b"".join(raw for _, _, raw in pieces[1:-1]) == b"x" * 1_000_000


def test_what_was_cut_out_of_the_middle_is_one_line_that_says_so(tmp_path):
    path = tmp_path / "log"
    lines = [b"line %d of many" % number for number in range(100_000)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    pager = Pager(path, Options(100, 20))
    pager.to_start()
    pager.move(5)
    before = pager.page().rows
    cut_middle(path, 2**20)
    while pager.look():
        pass
    page = pager.page()
    assert page.rows == before, "who reads stays where he is"
    assert "run.log_max_bytes" in page.notice
    file = opened(path)
    pieces = forwards(file)
    assert backwards(file) == pieces
    notes = [raw for _, _, raw in pieces if b"bytes are missing here" in raw]
    assert len(notes) == 1
    kept = [raw for _, _, raw in pieces if raw in lines[:10] + lines[-10:]]
    assert kept == lines[:10] + lines[-10:]
    hole = next(piece for piece in pieces if piece[2] == notes[0])
    for offset in (hole[0], (hole[0] + hole[1]) // 2, hole[1] - 1):
        assert file.start_of(offset) == hole[0]
    assert file.start_of(hole[1]) == hole[1]
    pager.follow()
    assert text_of(pager.page().rows[-1].line) == lines[-1].decode()
    pager.close()


def test_cutting_replacing_and_deleting_a_file_are_noticed(tmp_path):
    path = tmp_path / "log"
    path.write_text("one\ntwo\n")
    file = opened(path)
    path.write_text("1\n")
    assert file.refresh() == "truncated"
    assert [raw for _, _, raw in forwards(file)] == [b"1"]
    (tmp_path / "other").write_text("another\n")
    (tmp_path / "other").rename(path)
    assert file.refresh() == "replaced"
    assert [raw for _, _, raw in forwards(file)] == [b"another"]
    path.unlink()
    assert file.refresh() == "gone"
    assert forwards(file) == []
    path.write_text("back\n")
    assert file.refresh() == ""
    assert [raw for _, _, raw in forwards(file)] == [b"back"]


def test_a_folder_or_nothing_in_place_of_a_log_is_an_empty_log(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        pager = Pager(path, Options())
        pager.look()
        assert pager.page().rows == ()
        pager.close()


def test_lines_are_numbered_as_an_editor_would(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(1, 200_001)))
    file = opened(path)
    counter = LineCounter(file)
    assert counter.is_behind
    assert counter.number_of(file.size - 1) is None
    while counter.is_behind:
        counter.count_on(0)
    for number in (1, 2, 99_999, 200_000):
        offset = path.read_bytes().index(b"line %d\n" % number)
        assert counter.number_of(offset) == number
    assert file.size > SLICE_BYTES


def page_cost(path: Path) -> tuple[float, int]:
    """Return the CPU time and the peak memory of opening a log and drawing its last page, its first and its last."""
    tracemalloc.start()
    before = time.process_time()
    pager = Pager(path, Options(120, 40))
    assert text_of(pager.page().rows[-1].line).startswith("the end")
    pager.to_start()
    assert text_of(pager.page().rows[0].line).startswith("the start")
    pager.follow()
    pager.move_pages(-1)
    pager.page()
    spent = time.process_time() - before
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    pager.close()
    return spent, peak


def test_a_large_log_costs_no_more_to_open_than_a_small_one(tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    lines = b"some words of a line\n" * 3_000
    small.write_bytes(b"the start\n" + lines + b"the end\n")
    with large.open("wb") as log:
        log.write(b"the start\n" + lines)
        log.truncate(200 * 1024 * 1024)
        log.seek(0, 2)
        log.write(b"\n" + lines + b"the end\n")
    best_small = min((page_cost(small) for _ in range(5)), key=lambda cost: cost[0])
    best_large = min((page_cost(large) for _ in range(5)), key=lambda cost: cost[0])
    assert best_large[0] <= 3 * best_small[0]
    assert best_large[1] <= 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"10%\r50%\r100%\r", "100%"),
        (b"\x1b[31mred\x1b[0m plain", "red plain"),
        (b"a\x1b]52;c;ZXZpbA==\x07b", "ab"),
        (b"a\x1b]0;half \x1b[31mtitle\x07b", "atitleb"),
        (b"\x1b[2J\x1b[?1049l\x9bq\x90", "\ufffdq\ufffd"),
        (b"caf\xe9", "caf\ufffd"),
        (b"x\0y", "xy"),
        (b"\0" * 100 + b"text", "[100 zero bytes: the file was cut here while it was written] text"),
        (b"a\tb", "a   b"),
    ],
)
def test_a_line_is_shown_without_anything_that_a_terminal_would_obey(raw, text):
    line = shown(raw, colours=True, timestamps=True)
    assert text_of(line) == text
    assert not any(
        ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 for sign in text_of(line) + plain(raw).replace("\t", "")
    )


@pytest.mark.parametrize(
    ("codes", "role"),
    [
        ("31", "red"), ("92", "bright green"), ("1", "strong"), ("0;34", "blue"), ("31;39", "plain"),
        ("38;5;196", "bright red"), ("38;5;4", "blue"), ("38;2;0;255;0", "bright green"),
        ("48;5;31", "plain"), ("38;5", "plain"), ("", "plain"), ("999;31", "red"), ("38:2:0:0:200", "blue"),
    ],
)  # fmt: skip
def test_colours_become_the_terminals_own(codes, role):
    line = shown(b"\x1b[" + codes.encode() + b"mtext\x1b[0m after", colours=True, timestamps=True)
    assert [span.role for span in line if span.text == "text" or span.text == "text after"] == [role]
    plain_line = shown(b"\x1b[" + codes.encode() + b"mtext", colours=False, timestamps=True)
    assert [span.role for span in plain_line] == ["plain"]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"2026-01-02 03:04:05,678 - INFO - begun", "INFO - begun"),
        (b"2026-01-02T03:04:05.678Z begun", "begun"),
        (b"[2026-01-02 03:04:05,678] [INFO] begun", "[INFO] begun"),
        (b"[rank1] 2026-01-02 03:04:05 begun", "[rank1] begun"),
        (b"03:04:05 begun", "begun"),
        (b"step 3:04 of 5", "step 3:04 of 5"),
        (b"2026 lines", "2026 lines"),
    ],
)
def test_the_time_before_a_line_can_be_hidden(raw, text):
    assert text_of(shown(raw, colours=True, timestamps=False)) == text
