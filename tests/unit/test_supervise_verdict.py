"""What an attempt's end means, and in which words."""

import signal
from typing import Any

import pytest

from fttui_engine.runs.attempt import Exit, Outcome
from fttui_engine.runs.states import State
from fttui_engine.supervise.verdict import Evidence, Verdict, judge


def ended(code: int | None = None, number: int | None = None) -> Exit:
    return Exit(7, code, number, 1.0, 2.0)


def verdict(**evidence: Any) -> Verdict:
    known = {"intent": "", "outcome": None, "exit": None, "restarted": "", "oom_kills": 0, "last_line": ""}
    return judge(Evidence(**{**known, **evidence}), "demo")


def outcome(result: str, **more: Any) -> Outcome:
    return Outcome(**{"result": result, "step": 5, "max_steps": 10, "message": "It said so.", **more})


@pytest.mark.parametrize(
    ("evidence", "state", "kind", "words"),
    [
        ({"exit": ended(0)}, State.FINISHED, "finished", "exit code 0"),
        ({"exit": ended(3), "last_line": "Boom"}, State.FAILED, "exit_code", "exit code 3. Its last line: Boom"),
        ({"exit": ended(127), "last_line": "sh: x: not found"}, State.FAILED, "exit_code", "exit code 127. Its last"),
        ({"exit": ended(127), "last_line": "fttui: cannot run 'x': No such file or directory"}, State.FAILED,
         "exit_code", "The program could not be started: 'x': No such file or directory."),
        ({"exit": ended(None, 9)}, State.FAILED, "signal", "Killed by SIGKILL: somebody"),
        ({"exit": ended(None, 9), "oom_kills": 1}, State.FAILED, "oom_host", "ran out of memory"),
        ({"exit": ended(None, 11), "oom_kills": 1}, State.FAILED, "signal", "SIGSEGV: a crash in native code"),
        ({"exit": ended(None, 9), "hung": "It hung.", "outcome": outcome("failed")}, State.FAILED, "hung", "It hung."),
        ({"hung": "It hung.", "outcome": outcome("finished")}, State.FINISHED, "finished", "It said so."),
        ({"exit": ended(None, 40)}, State.FAILED, "signal", "Killed by signal 40"),
        ({"exit": ended(None, 63)}, State.FAILED, "signal", "Killed by"),
        ({}, State.FAILED, "unknown", "no keeper was there"),
        ({"restarted": "host"}, State.INTERRUPTED, "reboot", "host was restarted"),
        ({"restarted": "host", "intent": "stop"}, State.INTERRUPTED, "reboot", "host was restarted"),
        ({"restarted": "host", "outcome": outcome("finished")}, State.FINISHED, "finished", "It said so."),
        ({"intent": "stop", "exit": ended(None, 15)}, State.STOPPED, "stopped", "Ended as asked."),
        ({"intent": "stop", "exit": ended(None, 9)}, State.STOPPED, "stopped", "was killed"),
        ({"intent": "kill", "exit": ended(None, 9)}, State.STOPPED, "killed", "at once, as asked"),
        ({"intent": "shutdown", "exit": ended(None, 15)}, State.INTERRUPTED, "shutdown", "The host asked"),
        # What training says of itself comes before the exit status: a launcher exits 1 after a clean stop, and a
        # run that was cut short can exit 0.
        ({"intent": "stop", "exit": ended(1), "outcome": outcome("stopped")}, State.STOPPED, "stopped", "It said so."),
        ({"exit": ended(0), "outcome": outcome("failed", kind="data")}, State.FAILED, "data", "It said so."),
        ({"exit": ended(1), "outcome": outcome("finished")}, State.FINISHED, "finished", "It said so."),
        ({"outcome": outcome("stopped"), "exit": ended(0)}, State.INTERRUPTED, "shutdown", "It said so."),
        ({"intent": "stop", "outcome": outcome("finished")}, State.FINISHED, "finished", "It said so."),
    ],
)  # fmt: skip
def test_verdict(evidence: dict[str, Any], state: State, kind: str, words: str) -> None:
    found = verdict(**evidence)
    assert (found.state, found.exit.kind) == (state, kind)
    assert words in found.exit.message


@pytest.mark.parametrize("number", sorted(set(signal.Signals)))
def test_every_signal_has_a_sentence(number: signal.Signals) -> None:
    found = verdict(exit=ended(None, number))
    assert number.name in found.exit.message
    assert found.exit.message.endswith(".")
    assert found.exit.signal == number
    assert "fttui resume demo" in found.exit.advice


def test_only_a_training_has_a_checkpoint_to_go_on_from() -> None:
    assert "goes on from the newest checkpoint" in verdict(exit=ended(1)).exit.advice
    for evidence in ({"exit": ended(1)}, {"exit": ended(None, 9)}, {"restarted": "host"}):
        advice = verdict(**evidence, kind="command").exit.advice
        assert "starts the program again" in advice
        assert "checkpoint" not in advice
