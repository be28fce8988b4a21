"""What is sent to the terminal: no more than what changed, and in the end the same as if all of it had been sent."""

import random
import sys
import time

import pytest

from fttui.collector import Collector
from fttui.lines import Span
from fttui.widgets import line_panel
from fttui.widgets.line_panel import differing_region
from fttui_engine.runs.states import State
from real_terminal import Terminal
from run_maker import add_steps

WIDE = "日本語のログ"


def test_a_screen_sent_in_parts_is_the_one_that_is_painted_whole(make_run, home):
    run = make_run("stepping", step=30, max_steps=1000, log=f"{WIDE} 0\n")
    with Terminal(home, size=(200, 50)) as terminal:
        terminal.sees("stepping", "free", "30/1000")
        for step in range(31, 34):
            add_steps(run, step, step, 1000)
            with run.attempt(1).log_path.open("a") as log:
                log.write(f"{'x' * (step % 5)}{WIDE[step % 3 :]} {step}\n")
            terminal.sees(f"{step}/1000")
        terminal.read(1.2)
        parts = terminal.screen.display[2:]
        terminal.screen.reset()
        terminal.resize(199, 50)
        terminal.sees("stepping", "q quit")
        terminal.screen.reset()
        terminal.resize(200, 50)
        terminal.sees("stepping", "q quit", "33/1000")
        terminal.read(1.2)
        whole = terminal.screen.display[2:]
    ages = ("ckpt", "stepping", "disk")
    # Where the age of something stands, a second has gone by.
    assert [a for a in parts if not any(age in a for age in ages)] == [
        a for a in whole if not any(age in a for age in ages)
    ]


@pytest.mark.alone
def test_the_first_screen_is_sent_once_or_twice_and_not_five_times(make_run, home):
    """A whole screen of 200x50 is 20 kB; Textual paints an empty one before there is anything to show."""
    for number in range(8):
        make_run(f"ended-{number}", State.FINISHED, step=20)
    make_run("steady", step=30)
    with Terminal(home, size=(200, 50)) as terminal:
        terminal.sees("steady", "free", "q quit", "ended-7")
        terminal.read(1.0)
        assert len(terminal.received) < 70_000


@pytest.mark.alone
def test_a_second_of_a_training_run_is_a_few_cells(make_run, home):
    """At 200x50, a step a second: what is sent lies where it changed, not from the panel's edge up to there."""
    run = make_run("stepping", step=50, max_steps=1000)
    with Terminal(home, size=(200, 50)) as terminal:
        terminal.sees("stepping", "free", "50/1000")
        terminal.read(2.0)
        sent = 0
        for step in range(51, 55):
            add_steps(run, step, step, 1000)
            sent += len(terminal.read(1.0))
        assert 0 < sent / 4 < 1_000


def test_the_region_of_a_change_holds_every_cell_that_differs_and_no_half_characters():
    numbers = random.Random(4)
    for _ in range(2_000):
        alphabet = "ab─⣿" if numbers.random() < 0.7 else "a日b"
        width = numbers.randint(1, 14)
        old = tuple(spans_of(numbers, width, alphabet))
        new = old if numbers.random() < 0.2 else tuple(spans_of(numbers, width, alphabet))
        before, after = line_panel._cells(old), line_panel._cells(new)
        region = differing_region(old, new, 0)
        differing = [x for x, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
        assert all(region.x <= x < region.right for x in differing), (old, new)
        if differing:
            assert before[region.x][0] and after[region.x][0], (old, new)


def spans_of(numbers, width, alphabet):
    left = width
    while left > 0:
        text = ""
        for _ in range(numbers.randint(0, 5)):
            sign = numbers.choice(alphabet)
            wide = 2 if sign == "日" else 1
            if wide <= left:
                text, left = text + sign, left - wide
        if left == 1 and "日" in alphabet:
            text, left = text + "a", 0
        yield Span(text, numbers.choice(("plain", "dim")), numbers.random() < 0.1)


def test_selecting_another_run_reads_that_one_and_not_all(make_run, home, monkeypatch):
    for number in range(3):
        make_run(f"run-{number}", State.FINISHED, step=5)
    collector = Collector(home, lambda _: None, poll_seconds=60.0)
    reads = []
    read = collector._runs.read
    monkeypatch.setattr(collector._runs, "read", lambda folder: reads.append(folder) or read(folder))
    for name in ("run-0", "run-1", "run-2"):
        collector.watch(name)
        snapshot = collector.take()
        assert snapshot.detail.run_id == name and snapshot.detail.losses
        assert len(snapshot.runs) == 3
    assert len(reads) == 1
    collector.wake()
    collector.take()
    assert len(reads) == 2


def test_waiting_for_the_screen_of_a_program_that_has_ended_fails_at_once():
    with Terminal(argv=[sys.executable, "-c", "print('oh no'); raise SystemExit(3)"]) as terminal:
        began, spent = time.monotonic(), time.process_time()
        with pytest.raises(AssertionError, match=r"ended \(3\)[^$]*oh no"):
            terminal.sees("what never comes")
        assert time.monotonic() - began < 15
        assert time.process_time() - spent < 5
