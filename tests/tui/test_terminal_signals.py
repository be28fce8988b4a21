"""What terminals and shells do to a program while it runs: suspend, resize, stall, lose colours."""

import os
import re
import signal
import sys
import time

import pytest

from fttui_engine.runs.states import State
from real_terminal import COCKPIT, Terminal, cpu_seconds
from run_maker import add_steps


def test_suspended_by_a_key_or_a_signal_the_shell_is_there_and_fg_brings_it_back(make_run, home):
    make_run("steady", step=30)
    with Terminal(home, ["bash", "--norc", "--noprofile", "-i"], environment={"PS1": "$ "}) as shell:
        shell.press(f"{sys.executable} -m fttui\n")
        shell.sees("steady", "free", "q quit")
        shell.press("\x1a")
        shell.sees("Stopped")
        assert b"\x1b[?1049l" in shell.received[-2000:], "the shell's own screen is back"
        shell.press("clear; echo typed in the sh''ell\n")
        shell.sees("typed in the shell")
        shell.press("fg\n")
        shell.sees("steady", "q quit")
        shell.press("l")
        shell.sees("log of attempt 1")
        shell.press("\x1b")
        shell.sees("STATE")
        shell.press("q")
        shell.until(lambda: shell.received.rstrip().endswith(b"$"), "the prompt")
        shell.press("clear; echo $? le''ft\n")
        shell.sees("0 left")


def test_a_storm_of_resizes_ends_with_a_whole_screen_of_the_last_size(make_run, home):
    make_run("steady", step=30)
    with Terminal(home) as terminal:
        terminal.sees("steady", "free", "q quit")
        for number in range(60):
            terminal.resize(60 + number * 7 % 140, 12 + number * 5 % 40)
            terminal.read(0.02)
        terminal.resize(120, 40)
        terminal.read(0.1)
        terminal.screen.reset()
        # One more cell makes Textual paint everything anew for the emptied eyes of this test.
        terminal.resize(121, 40)
        terminal.sees("steady", "Events", "q quit")
        titles = next(at for at, line in enumerate(terminal.screen.display) if "STATE" in line)
        assert "steady" in terminal.screen.display[titles + 1]
        assert terminal.process.poll() is None


def test_a_terminal_that_stalls_and_reads_again_is_up_to_date_soon(make_run, home):
    run = make_run("steady", step=30, max_steps=1000)
    with Terminal(home, size=(200, 50)) as terminal:
        terminal.sees("steady", "30/1000", "free")
        for step in range(31, 41):
            add_steps(run, step, step, 1000)
            terminal.press("?\x1b")
            time.sleep(0.2)
        terminal.sees("40/1000", seconds=5)
        before = cpu_seconds(terminal.process.pid)
        terminal.read(1.0)
        assert cpu_seconds(terminal.process.pid) - before < 0.5
        terminal.press("q")
        assert terminal.ends_within(2.0) == 0


COLOURS = re.compile(rb"\x1b\[([0-9;]*)m")


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [
        ({"NO_COLOR": "1"}, r"0?|1|2|3|4|7|22|27|39|49"),
        ({"TERM": "xterm", "COLORTERM": ""}, r"0?|1|2|3|4|7|22|27|3[0-79]|4[0-79]|9[0-7]|10[0-7]"),
        ({"TERM": "xterm-256color", "COLORTERM": ""}, r"0?|1|2|3|4|7|22|27|3[0-79]|4[0-79]|[34]8;5;\d+"),
    ],
    ids=["no colour", "16 colours", "256 colours"],
)
def test_no_more_colours_are_sent_than_there_are(environment, allowed, make_run, home):
    make_run("steady", step=30, max_steps=100, log="\x1b[38;2;1;2;3mthe log\x1b[0m\n")
    make_run("over", State.FAILED, step=3)
    with Terminal(home, environment=environment) as terminal:
        terminal.sees("steady", "over", "the log", "free")
        terminal.press("l")
        terminal.sees("log of attempt 1")
        terminal.press("?")
        terminal.sees("Keys", "one line down")
        sent = {each.decode() for each in COLOURS.findall(terminal.received)}
        assert sent
        for codes in sent:
            assert re.fullmatch(rf"(?:(?:{allowed})(?:;|$))*", codes), codes


@pytest.mark.parametrize("environment", [{"LANG": "C"}, {"LC_ALL": "en_US.ISO-8859-1"}])
def test_a_terminal_without_more_than_ascii_gets_nothing_else(environment, make_run, home):
    make_run("steady", step=30, log="naïve ─ ⠿ 日本 log\n")
    with Terminal(home, environment=environment) as terminal:
        terminal.sees("steady", "na?ve - : ???? log")
        terminal.press("s")
        terminal.sees("Stop steady?")
        assert terminal.received.isascii()


def test_the_wheel_scrolls_where_the_user_wants_the_mouse_and_is_the_terminals_elsewhere(make_run, home):
    make_run("talkative", step=3, log="".join(f"line {number:03}\n" for number in range(200)))
    with Terminal(home) as terminal:
        terminal.sees("talkative", "free")
        assert b"\x1b[?1000h" not in terminal.received
    config = home.parent / "config" / "fttui" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("mouse: true\n")
    with Terminal(home) as terminal:
        terminal.sees("talkative", "free")
        assert b"\x1b[?1000h" in terminal.received
        terminal.press("l")
        terminal.sees("line 199", "following")
        terminal.press("\x1b[<64;10;10M" * 3)
        terminal.sees("line 190")
        terminal.until(lambda: "line 191" not in terminal.text, "nine lines up")
        terminal.press("\x1b[<65;10;10M")
        terminal.sees("line 193")


def test_the_screens_begin_where_they_were_when_the_terminal_vanished(make_run, home):
    make_run("alpha", State.FINISHED, step=30)
    make_run("zebra", State.FINISHED, step=30)
    with Terminal(home) as terminal:
        terminal.sees("alpha", "zebra", "free")
        terminal.press("G\r4")
        terminal.sees("[4 Events]")
        title = terminal.screen.display[0].split()[0]
        file = home / "screens.json"
        deadline = time.monotonic() + 10
        while '"events"' not in (file.read_text() if file.exists() else ""):
            assert time.monotonic() < deadline
            terminal.read(0.1)
        terminal.vanish()
        terminal.process.wait(5)
    with Terminal(home) as terminal:
        terminal.sees("[4 Events]", title)
    with Terminal(home, [*COCKPIT, "--fresh"]) as terminal:
        terminal.sees("STATE")
    file.write_text('{"screen": "moon"')
    with Terminal(home) as terminal:
        terminal.sees("STATE", "they begin anew")
        os.kill(terminal.process.pid, signal.SIGTERM)
        terminal.ends_within(2.0)
