"""What is free on a disk: in bytes, and in files, of which some file systems have a fixed number."""

import subprocess
import sys
from pathlib import Path

import pytest

from fttui_engine.runs.free_space import free_bytes, has_free_inodes
from own_mount import with_mount

WITHOUT_INODES = """
import sys
from pathlib import Path
from fttui_engine.runs.attempt import NEWEST, Request
from fttui_engine.runs.free_space import has_free_inodes
from fttui_engine.supervise.restarts import Wait
from fttui_engine.runs.run import Plan
folder = Path(sys.argv[1])
wait = Wait(Request(NEWEST, free_bytes=1), Plan("r", "train", [], {}, "/", str(folder), None, 1.0), Path("/"))
assert has_free_inodes(folder)
for number in range(4):
    try:
        (folder / str(number)).touch()
    except OSError:
        break
assert not has_free_inodes(folder)
print(wait.reason())
(folder / "0").unlink()
print(wait.reason())
"""


def test_a_folder_that_is_not_there_yet_is_made_on_the_disk_above_it(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "there") == pytest.approx(free_bytes(tmp_path), rel=0.1)
    assert has_free_inodes(tmp_path / "not" / "there")


def test_a_disk_that_takes_no_more_files_is_waited_for_as_a_full_one_is(tmp_path: Path) -> None:
    argv = [
        *with_mount(f"-t tmpfs -o nr_inodes=4 tmpfs {tmp_path}"),
        sys.executable,
        "-c",
        WITHOUT_INODES,
        tmp_path,
    ]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split("\n")[:2]
    assert "it can take no more files" in first
    assert second == ""
