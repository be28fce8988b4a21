"""The viewers' wishes: taken in order, answered once, readable whatever lies in the folder."""

from pathlib import Path

import pytest

from fttui_engine.runs.commands import (
    KILL,
    STOP,
    Answer,
    answer_command,
    drop_command,
    read_answer,
    refuse_commands,
    waiting_commands,
    withdraw_command,
)
from fttui_engine.runs.home import ensure_home
from fttui_engine.runs.run import Run, hidden_run_folder, new_run_folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    ensure_home(tmp_path)
    return new_run_folder(hidden_run_folder(tmp_path))


def test_wishes_are_taken_in_the_order_of_arrival(run: Run) -> None:
    dropped = [drop_command(run, verb) for verb in (STOP, KILL, STOP, STOP)]
    assert waiting_commands(run) == dropped


def test_answer_reaches_whoever_asked_and_takes_the_wish_away(run: Run) -> None:
    first, second = drop_command(run, STOP), drop_command(run, KILL)
    assert read_answer(run, first) is None
    answer_command(run, first, Answer(True, "it saves"))
    assert read_answer(run, first) == Answer(True, "it saves")
    assert read_answer(run, second) is None
    assert waiting_commands(run) == [second]
    assert not withdraw_command(run, first)


def test_withdrawn_wish_is_gone(run: Run) -> None:
    command = drop_command(run, STOP)
    assert withdraw_command(run, command)
    assert waiting_commands(run) == []
    assert read_answer(run, command) is None


def test_answering_again_after_a_crash_in_between_is_harmless(run: Run) -> None:
    command = drop_command(run, STOP)
    content = (run.new_commands_dir / command.name).read_bytes()
    answer_command(run, command, Answer(True, "yes"))
    (run.new_commands_dir / command.name).write_bytes(content)
    answer_command(run, command, Answer(False, "already being stopped"))
    assert waiting_commands(run) == []


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[]", b'{"verb": 5}', b'{"verb": {"a": 1}}'])
def test_damaged_wish_is_shown_and_can_be_answered(run: Run, content: bytes) -> None:
    (run.new_commands_dir / "0.json").write_bytes(content)
    (command,) = waiting_commands(run)
    assert command.verb not in (STOP, KILL)
    answer_command(run, command, Answer(False, "no"))
    assert waiting_commands(run) == []


def test_wish_in_the_making_is_not_seen(run: Run) -> None:
    (run.new_commands_dir / ".0.json.77.ab").write_bytes(b"{")
    assert waiting_commands(run) == []


def test_refusing_answers_all(run: Run) -> None:
    commands = [drop_command(run, STOP), drop_command(run, KILL)]
    refuse_commands(run, "too late")
    assert [read_answer(run, command) for command in commands] == [Answer(False, "too late")] * 2
    assert waiting_commands(run) == []
