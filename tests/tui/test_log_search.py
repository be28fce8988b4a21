"""Searching a log: everything that matches is found, by a process that can be ended, while the file grows."""

import os
import random
import re
import time

import pytest

from fttui.log import log_file, scan, search
from fttui.log.line_text import plain
from fttui.log.log_file import LogFile
from fttui.log.ranks import pattern_of_rank, ranks_in
from fttui.log.scan import Scanner, compiled
from fttui.log.search import Search

WAIT_SECONDS = 20.0
PATTERNS = ("a", "bb", "^a", "a$", "x.?y", r"\d+", "é", "A", "a b", r"^\s*$", r"a\Z", r"\Aa", "(?i:A)b", "")
ALPHABET = (
    b"a",
    b"bb",
    b"\n",
    b"\n",
    b"\r",
    b"\xff",
    "é".encode(),
    b"x" * 5,
    b"y" * 20,
    b" 12",
    b"\x1b[31m",
    b"A",
)


def opened(path):
    file = LogFile(path)
    file.refresh()
    return file


def expected(file, patterns):
    found, start = [], 0
    while piece := file.at(start):
        if all(compiled(pattern).search(plain(piece.raw)) for pattern in patterns):
            found.append(start)
        start = piece.end
    return found


def test_what_was_cut_out_is_not_searched_and_all_else_is(tmp_path):
    path = tmp_path / "log"
    with path.open("wb") as log:
        log.write(b"a needle in front\n" + b"some hay\n" * 10_000)
        log.truncate(2**40)
        log.seek(2**40)
        log.write(b"hay\n" * 10_000 + b"a needle behind\n")
    file = opened(path)
    for pattern in ("needle", "missing here", "^some"):
        scanner = Scanner(file, [pattern])
        backwards = [offset for *_, found in scanner.backwards(file.size) for offset in found]
        forwards = [offset for *_, found in scanner.forwards(0, file.size) for offset in found]
        assert sorted(backwards) == forwards == expected(file, [pattern]), pattern
        assert forwards


@pytest.mark.parametrize("seed", range(30))
def test_all_matching_lines_are_found_and_no_others(seed, tmp_path, monkeypatch):
    for module in (log_file, scan):
        monkeypatch.setattr(module, "BLOCK_BYTES", 16)
    monkeypatch.setattr(scan, "CHUNK_BYTES", 50)
    chance = random.Random(seed)
    path = tmp_path / "log"
    signs = ALPHABET if seed % 2 else (b"a", b"bb", b"A", b" 12", b"xxy", b"\n", b"\n", b"y" * 20)
    path.write_bytes(b"".join(chance.choices(signs, k=chance.randrange(150))))
    file = opened(path)
    for pattern in PATTERNS:
        scanner = Scanner(file, [pattern])
        backwards = [place for _, _, found in scanner.backwards(file.size) for place in reversed(found)]
        assert backwards[::-1] == expected(file, [pattern]), pattern
        forwards = [place for _, _, found in scanner.forwards(0, file.size) for place in found]
        assert forwards == expected(file, [pattern]), pattern
    assert [
        place for _, _, found in Scanner(file, ["a", "b"]).forwards(0, file.size) for place in found
    ] == expected(file, ["a", "b"])


def test_capitals_count_only_in_a_pattern_with_capitals():
    assert compiled("error").search("An ERROR")
    assert not compiled("Error").search("An ERROR")


@pytest.fixture
def searching(tmp_path):
    opened_searches = []

    def start(content, *patterns):
        path = tmp_path / "log"
        path.write_bytes(content)
        file = opened(path)
        found = Search(file, patterns)
        opened_searches.append(found)
        return path, file, found

    yield start
    for each in opened_searches:
        each.close()


def wait(found, condition, file):
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        file.refresh()
        found.poll()
        if condition():
            return
        assert time.monotonic() < deadline, (list(found)[:10], found.found, found.scanned_percent)
        time.sleep(0.01)


def test_matches_are_found_from_the_end_and_then_as_the_file_grows(searching):
    content = b"".join(b"line %d\n" % number for number in range(200_000))
    path, file, found = searching(content, "line 1+$")
    wait(found, lambda: found.low == 0, file)
    places = [content.index(b"\nline " + b"1" * many + b"\n") + 1 for many in range(1, 7) if many < 7]
    assert list(found) == places
    assert found[found.index_at(places[2])] == places[2]
    assert found.scanned_percent == 100 and not found.is_busy
    with path.open("ab") as log:
        log.write(b"line 2\nli")
    wait(found, lambda: not found.is_busy and found._high == file.size, file)
    assert list(found) == places
    with path.open("ab") as log:
        log.write(b"ne 11")
    wait(found, lambda: len(found) == 7, file)
    with path.open("ab") as log:
        log.write(b"2\nline 111\n")
    wait(found, lambda: found._high == file.size, file)
    assert list(found) == [*places, len(content) + len(b"line 2\nline 112\n")]
    assert found.found == 7


def test_only_the_newest_of_very_many_matches_are_kept(searching, monkeypatch):
    monkeypatch.setattr(search, "MOST_MATCHES", 1000)
    content = (b"match" + b"." * 94 + b"\n") * 30_000
    _, file, found = searching(content, "match")
    wait(found, lambda: found.low == 0, file)
    assert found.found == 30_000
    assert list(found) == list(range(len(content) - 100_000, len(content), 100))


def test_a_search_without_end_can_be_ended(searching):
    """(a+)+$ on a line that does not match takes longer than the universe will."""
    _, _, found = searching(b"a" * 200 + b"!\n", "(a+)+$")
    pid = found._process.pid
    time.sleep(0.3)
    found.poll()
    assert found.is_busy
    started = time.monotonic()
    found.close()
    assert time.monotonic() - started < 2
    assert not os.path.exists(f"/proc/{pid}")
    found.close = lambda: None


def test_ranks_are_known_by_their_prefix():
    text = b"launcher\n[rank0] a\n[rank10]: b\n[default3]:c\nnot [rank7]\n"
    assert ranks_in(text) == [0, 3, 10]
    shown = [line for line in text.decode().splitlines() if re.search(pattern_of_rank(10), line)]
    assert shown == ["[rank10]: b"]
    of_first = [line for line in text.decode().splitlines() if re.search(pattern_of_rank(0), line)]
    assert of_first == ["launcher", "[rank0] a", "not [rank7]"]
