"""State files and histories: whole or absent, whatever is killed meanwhile."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fttui_engine
from fttui_engine.runs.attempt import Attempt, Progress
from fttui_engine.runs.files import (
    DamagedFileError,
    append_line,
    read_json,
    read_json_or_none,
    read_lines,
    write_json,
)

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fttui_engine.__file__).parents[1])}


def start_python(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], env=ENVIRONMENT, stdout=subprocess.PIPE
    )


def wait_until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


WRITE_STATES = """
import sys
from pathlib import Path
from fttui_engine.runs.files import write_json
path, number = Path(sys.argv[1]), 0
while True:
    number += 1
    write_json(path, {"number": number, "again": number, "fill": "x" * (number % 9000)}, durable=False)
"""

APPEND_LINES = """
import sys
from pathlib import Path
from fttui_engine.runs.files import append_line
path, number = Path(sys.argv[1]), 0
while True:
    number += 1
    append_line(path, {"number": number, "fill": "y" * (number * 37 % 20000), "again": number})
"""


def test_reader_never_sees_a_torn_state(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    writer = start_python(WRITE_STATES, path)
    try:
        wait_until(path.exists)
        numbers = []
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            value = read_json(path)
            assert value is not None
            assert value["number"] == value["again"]
            assert len(value["fill"]) == value["number"] % 9000
            numbers.append(value["number"])
    finally:
        writer.kill()
        writer.communicate()
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 20


def test_killed_writers_leave_readable_files(tmp_path: Path) -> None:
    state, history = tmp_path / "state.json", tmp_path / "history.jsonl"
    good = 0
    for round_number in range(8):
        writers = [start_python(WRITE_STATES, state), start_python(APPEND_LINES, history)]
        size = history.stat().st_size if history.exists() else 0
        wait_until(lambda size=size: state.exists() and history.exists() and history.stat().st_size > size)
        time.sleep(0.003 * round_number)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
        value = read_json(state)
        assert value is not None
        assert value["number"] == value["again"]
        append_line(history, {"number": -round_number, "again": -round_number})
        values = [line.value for line in read_lines(history) if line.value]
        assert all(each["number"] == each["again"] for each in values)
        assert values[-1]["number"] == -round_number
        assert len(values) > good
        good = len(values)


@pytest.mark.parametrize("cut", range(1, 24))
def test_line_torn_anywhere_costs_only_itself(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "history.jsonl"
    append_line(path, {"step": 1})
    append_line(path, {"step": 2, "text": "abc"})
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    path.write_bytes(whole[: max(first + 1, len(whole) - cut)])
    assert [line.value for line in read_lines(path)] == [{"step": 1}]
    append_line(path, {"step": 3})
    values = [line.value for line in read_lines(path)]
    assert values[0] == {"step": 1}
    assert values[-1] == {"step": 3}
    # Only the newline was lost: then the line itself is whole again.
    assert values[1:-1] == ([{"step": 2, "text": "abc"}] if cut == 1 else [None])


@pytest.mark.parametrize(
    "garbage", [b"\xff\xfe\x00", b"[1, 2]", b"17", b'{"a": ', b"{" * 100_000, b"\x00" * 50]
)
def test_garbled_line_is_passed_over(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "history.jsonl"
    append_line(path, {"step": 1})
    with path.open("ab") as file:
        file.write(garbage + b"\n")
    append_line(path, {"step": 2})
    assert [line.value for line in read_lines(path)] == [{"step": 1}, None, {"step": 2}]


def test_reading_goes_on_from_an_offset(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append_line(path, {"step": 1})
    (line,) = read_lines(path)
    append_line(path, {"step": 2})
    assert [each.value for each in read_lines(path, line.end_offset)] == [{"step": 2}]


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 4096, b"\x80\x81", b"[]", b'"x"', b'{"a": 1', b"[" * 100_000]
)
def test_damaged_state_file_is_said_to_be_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"state\.json is damaged"):
        read_json(path)
    assert read_json_or_none(path) is None


def test_missing_file_and_unreadable_folder_hold_nothing(tmp_path: Path) -> None:
    assert read_json(tmp_path / "nowhere" / "x.json") is None
    (tmp_path / "folder").mkdir()
    assert list(read_lines(tmp_path / "folder")) == []
    assert read_json_or_none(tmp_path / "folder") is None


def test_failed_write_keeps_the_old_content_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_json(path, {"good": True})
    with pytest.raises(TypeError):
        write_json(path, {"bad": object()})
    assert read_json(path) == {"good": True}
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]


def test_no_writer_emits_what_json_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": math.nan, "b": [math.inf, {"c": -math.inf}], "d": 1.5})

    def refuse(name: str) -> None:
        raise AssertionError(name)

    value = json.loads(path.read_bytes(), parse_constant=refuse)
    assert value == {"a": "NaN", "b": ["Infinity", {"c": "-Infinity"}], "d": 1.5}


def test_loss_that_is_no_number_comes_back_as_one(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path / "001")
    attempt.path.mkdir()
    attempt.write_progress(Progress("train", step=3, loss=math.nan, tokens_per_second=math.inf))
    progress = attempt.read_progress()
    assert progress is not None
    assert progress.loss is not None
    assert math.isnan(progress.loss)
    assert progress.tokens_per_second is None, "a rate that cannot be counted with is none"


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_files_are_private_under_any_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_json(tmp_path / "a.json", {})
        append_line(tmp_path / "b.jsonl", {})
    finally:
        os.umask(before)
    assert [oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == ["0o600", "0o600"]
