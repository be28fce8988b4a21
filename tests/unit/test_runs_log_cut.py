"""A log that grows without end keeps its beginning and its end, gives back the middle, and says so to every reader."""

import subprocess
import sys
from pathlib import Path

import pytest

from fttui_engine.runs.log_cut import cut_middle, holes_of
from fttui_engine.runs.logs import LogFollower, read_log, tail
from own_mount import with_mount

MOST_BYTES = 2**20
LINES = [b"line %06d of a program that prints without end\n" % number for number in range(100_000)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"".join(LINES))
    return path


def size_on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


def assert_only_the_middle_is_missing(path: Path, written: list[bytes]) -> None:
    lines = [line.encode() + b"\n" for line in read_log(path)]
    noted = [index for index, line in enumerate(lines) if b"bytes are missing here" in line]
    assert len(noted) == 1
    # The line in front of the hole and the one behind it are torn.
    first, last = lines[: noted[0] - 1], lines[noted[0] + 2 :]
    assert first == written[: len(first)]
    assert len(b"".join(first)) >= 0.1 * MOST_BYTES
    assert last == written[-len(last) :]
    assert len(b"".join(last)) >= 0.45 * MOST_BYTES


def test_the_middle_is_given_back_and_beginning_and_end_stay_as_it_grows(path: Path) -> None:
    size = path.stat().st_size
    assert cut_middle(path, size) is None, "small enough"
    cut = cut_middle(path, MOST_BYTES)
    assert cut
    assert (cut.is_first, cut.is_hole) == (True, True)
    assert path.stat().st_size == size, "what is appended keeps its place"
    assert size_on_disk(path) < MOST_BYTES
    assert_only_the_middle_is_missing(path, LINES)
    assert cut_middle(path, MOST_BYTES) is None, "it is small enough now"
    with path.open("ab") as file:
        file.write(b"".join(LINES))
    again = cut_middle(path, MOST_BYTES)
    assert again
    assert not again.is_first
    assert size_on_disk(path) < MOST_BYTES
    assert_only_the_middle_is_missing(path, LINES * 2)


def test_the_end_is_read_as_far_back_as_it_is_there(path: Path) -> None:
    cut_middle(path, MOST_BYTES)
    assert tail(path, 3) == [line.decode().rstrip("\n") for line in LINES[-3:]]
    everything = tail(path, 10**9)
    assert "run.log_max_bytes" in everything[0]
    assert everything[-1] == LINES[-1].decode().rstrip("\n")
    follower = LogFollower(path, from_start=True)
    assert follower.poll()
    with path.open("ab") as file:
        file.write(b"one more\n")
    assert follower.poll() == ["one more"]


def test_following_goes_on_behind_what_is_cut_meanwhile(path: Path) -> None:
    follower = LogFollower(path)
    with path.open("ab") as file:
        file.write(b"".join(LINES))
    cut_middle(path, MOST_BYTES)
    noted, *lines = follower.poll()
    assert "bytes are missing here" in noted
    assert lines[-1] == LINES[-1].decode().rstrip("\n")


def test_a_hole_of_a_terabyte_costs_nothing_to_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.write(b"first\n")
        file.truncate(2**40)
        file.seek(2**40)
        file.write(b"last\n")
    before, *_, last = list(read_log(path))
    assert (before, last) == ("first", "last")
    assert tail(path, 1) == ["last"]
    with path.open("rb") as file:
        assert len(holes_of(file.fileno())) == 1


WITHOUT_HOLES = """
import sys
from pathlib import Path
from fttui_engine.runs.log_cut import cut_middle
path = Path(sys.argv[1]) / "log"
lines = [b"line %06d of a program that prints without end\\n" % number for number in range(100_000)]
path.write_bytes(b"".join(lines))
with path.open("ab", buffering=0) as program:
    cut = cut_middle(path, 2**20)
    program.write(b"the program goes on\\n")
assert not cut.is_hole, cut
found = path.read_bytes()
assert len(found) < 2**20, len(found)
assert found.startswith(lines[0]) and found.endswith(lines[-1] + b"the program goes on\\n"), found[-200:]
assert b"bytes are missing here" in found
"""


def test_where_the_file_system_has_no_holes_the_log_is_written_anew(tmp_path: Path) -> None:
    # ramfs is one; an older NFS is another.
    argv = [*with_mount(f"-t ramfs ramfs {tmp_path}"), sys.executable, "-c", WITHOUT_HOLES, tmp_path]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
