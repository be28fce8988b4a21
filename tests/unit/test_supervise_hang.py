"""When silence is a hang, and when it is not: a run's pulses against clocks that the test turns."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fttui_engine.runs.attempt import Attempt, Request
from fttui_engine.runs.events import read_events
from fttui_engine.runs.files import write_json
from fttui_engine.runs.identity import identify, identity_to_json
from fttui_engine.runs.journal import Journal
from fttui_engine.runs.pulse import Pulse, PulseWriter
from fttui_engine.runs.run import Plan, Run, new_run_folder
from fttui_engine.runs.states import State
from fttui_engine.supervise.hang import Clocks, HangWatch, where_it_stands
from fttui_engine.supervise.stacks import RankStack

PLAN = Plan("r", "train", ["true"], {}, "/", "", None, 1.0)
SLEEPER = "import signal, sys, time; print('up', flush=True); time.sleep(600)"


class Case:
    """One attempt with a real process, whose pulse the test beats, and a watch whose clocks it turns."""

    def __init__(self, folder: Path, **plan: object) -> None:
        self.run: Run = new_run_folder(folder)
        self.attempt: Attempt = self.run.attempt(1)
        self.attempt.create(Request("scratch"))
        self.process = subprocess.Popen(
            [sys.executable, "-c", SLEEPER],
            stdout=subprocess.PIPE,
            env=os.environ | {"FTTUI_RUN": self.run.id, "FTTUI_RUN_DIR": str(self.run.path)},
        )
        assert self.process.stdout and self.process.stdout.readline() == b"up\n"
        identity = identity_to_json(identify(self.process.pid))
        write_json(self.run.keeper_path, {"schema": 1, "attempt": 1, "process": identity})
        self.pulse = PulseWriter(self.attempt.pulse_path_of(0))
        self.pulse._who = f"{self.process.pid} {identity['start_ticks']}"  # type: ignore[index]
        self.pulse.phase("train")
        self.journal = Journal(self.run)
        self.journal.move(State.RUNNING, "running", "")
        self.plan = PLAN._replace(**plan)  # type: ignore[arg-type]
        self.clocks = Clocks.now()
        self.watch = HangWatch(self.run, self.plan, self.attempt, self.journal)

    def pass_time(self, seconds: float, per_look: float = 2.0) -> None:
        """Let time pass, and the watch look meanwhile."""
        while seconds > 0:
            self.clocks = Clocks(*(clock + per_look for clock in self.clocks))
            self.watch.look(self.clocks)
            seconds -= per_look

    def sleep(self, seconds: float) -> None:
        """Let the host sleep."""
        self.clocks = self.clocks._replace(with_sleep=self.clocks.with_sleep + seconds)

    def events(self) -> list[str]:
        return [event.event for event in read_events(self.run.events_path) if event.event != "running"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[object]:
    cases: list[Case] = []

    def make(**plan: object) -> Case:
        cases.append(Case(tmp_path / "r", **plan))
        return cases[-1]

    yield make
    for case in cases:
        case.close()


def test_a_rank_that_stands_still_is_ended_only_after_twenty_of_its_steps(make) -> None:
    case = make()
    case.pulse.stepped(12, 30.0)
    case.pass_time(596)
    assert case.events() == []
    case.pass_time(30)
    assert case.events() == ["hang_suspected", "hung"]
    assert case.process.wait(5) is not None, "killed; psutil collected its status"
    assert case.watch.message.startswith(
        "It hung: nothing was done for 10 min. It was training after step 12"
    )
    later = HangWatch(case.run, case.plan, case.attempt, case.journal)
    assert later.message == case.watch.message, "a supervisor that follows knows why the attempt ended"


def test_what_has_no_observed_pace_has_half_an_hour(make) -> None:
    case = make()
    for phase in ("loading", "train", "eval", "save"):
        case.pulse.phase(phase)
        case.pass_time(1780)
        assert case.events() == []


def test_a_batch_between_the_two_looks_at_the_stacks_saves_the_run(make) -> None:
    case = make(hang_seconds=60.0)
    case.pass_time(64)
    assert case.events() == ["hang_suspected"]
    case.pulse.batch()
    case.pass_time(50)
    assert case.events() == ["hang_suspected"]
    case.pass_time(40)
    assert case.events() == ["hang_suspected", "hang_suspected", "hung"]


def test_time_in_which_nobody_looked_or_the_host_slept_does_not_count(make) -> None:
    case = make(hang_seconds=60.0)
    case.pass_time(50)
    case.sleep(3600)
    case.pass_time(50)
    case.pass_time(900, per_look=900)  # the supervisor itself was stopped
    assert case.events() == []
    case.pass_time(30)
    assert "hung" in case.events()


def test_a_process_that_was_stopped_by_a_signal_is_paused_and_not_hung(make) -> None:
    case = make(hang_seconds=10.0)
    case.process.send_signal(signal.SIGSTOP)
    while Path(f"/proc/{case.process.pid}/stat").read_text().split()[2] != "T":
        pass
    case.pass_time(600)
    assert case.events() == ["paused"]
    assert case.journal.state.detail == "paused by a signal (SIGSTOP)"
    case.process.send_signal(signal.SIGCONT)
    while Path(f"/proc/{case.process.pid}/stat").read_text().split()[2] == "T":
        pass
    case.pulse.batch()
    case.pass_time(4)
    assert case.events() == ["paused", "continued"]
    assert case.journal.state.detail == ""


def test_a_program_of_its_own_is_watched_by_its_log_and_only_if_asked(make) -> None:
    case = make(kind="command")
    case.pass_time(86400, per_look=5.0)
    assert case.events() == []
    case.watch = HangWatch(case.run, case.plan._replace(hang_seconds=60.0), case.attempt, case.journal)
    for _ in range(4):
        with case.attempt.log_path.open("a") as log:
            log.write("still here\n")
        case.pass_time(50)
    assert case.events() == []
    case.pass_time(100)
    assert case.events() == ["hang_suspected", "hung"]
    assert "wrote nothing to its log" in case.watch.message


def test_it_can_be_switched_off(make) -> None:
    case = make(hang_seconds=0.0)
    case.pass_time(10 * 86400, per_look=5.0)
    assert case.events() == []


def stack(rank: int, step: int, batches: int, frame: str = "") -> RankStack:
    text = f'Current thread 0x1 (most recent call first):\n  File "/x/y/{frame}' if frame else ""
    return RankStack(Pulse(rank, 1, 1, 9, step, batches, 0.0, "train"), text, "" if frame else "it is busy")


BEHIND = [
    ([stack(0, 5, 10, 'a.py", line 3 in load')], "It was training after step 5, in load (y/a.py:3)."),
    ([stack(0, 5, 10), stack(1, 4, 8, 'a.py", line 3 in spin'), stack(2, 5, 10)],
     "Rank 1 of 3 is behind: training after step 4, in spin (y/a.py:3)."),
    ([stack(0, 5, 11), stack(1, 5, 10)], "Rank 1 of 2 is behind: training after step 5 (it is busy)."),
    # All are within the same batch: one of them is not waiting for the others.
    ([stack(0, 5, 10, 'b.py", line 9 in all_reduce'), stack(1, 5, 10, 'a.py", line 3 in spin')],
     "Rank 1 of 2 is behind: training after step 5, in spin (y/a.py:3)."),
    ([stack(0, 5, 10, 'b.py", line 9 in all_reduce'), stack(1, 5, 10, 'b.py", line 9 in all_reduce')],
     "All 2 ranks are at step 5, batch 10."),
    ([], ""),
]  # fmt: skip


@pytest.mark.parametrize(("stacks", "sentence"), BEHIND)
def test_the_rank_that_is_behind_is_named(stacks: list[RankStack], sentence: str) -> None:
    assert where_it_stands(stacks) == sentence


def test_the_plan_carries_the_wish(tmp_path: Path) -> None:
    run = new_run_folder(tmp_path / "r")
    for wish in (None, 0.0, 90.0):
        run.write_plan(PLAN._replace(hang_seconds=wish))
        assert run.read_plan().hang_seconds == wish
    value = json.loads(run.plan_path.read_text())
    del value["hang_seconds"]
    write_json(run.plan_path, value)
    assert run.read_plan().hang_seconds is None, "of a run that an earlier release started"
