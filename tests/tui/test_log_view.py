"""The log over the whole screen: keys, what they say, and what goes to the clipboard."""

import base64
import os
import re
import signal
import time
from pathlib import Path

import pytest

from fttui import clipboard
from fttui_engine.runs.attempt import NEWEST, Request
from fttui_engine.runs.states import State
from real_terminal import Terminal
from run_maker import SIZES, add_steps

LINES = "".join(f"line {number}\n" for number in range(500))


@pytest.mark.parametrize("size", SIZES)
async def test_the_log_follows_until_it_is_scrolled_and_again_from_its_end(size, make_run, open_cockpit):
    run = make_run("chatty", log=LINES)

    def write(text):
        with run.attempt(1).log_path.open("a") as log:
            log.write(text + "\n")

    async with open_cockpit(size) as screen:
        await screen.press("l")
        await screen.sees("line 499", "of 500, following")
        write("written while following")
        await screen.sees("written while following")
        await screen.press("k", "b")
        await screen.sees("f follows")
        first_line = screen.lines[1]
        write("written while reading")
        await screen.until(lambda: "of 502" in screen.text, "the line to be counted")
        assert screen.lines[1] == first_line
        assert "written while reading" not in screen.text
        await screen.press("g")
        await screen.sees("line 0 ")
        await screen.press("f")
        await screen.sees("written while reading", "following")
        await screen.press("escape")
        await screen.sees("STATE")


async def test_finding_filtering_and_a_pattern_that_is_none(make_run, open_cockpit):
    make_run("chatty", log=LINES)
    async with open_cockpit() as screen:
        await screen.press("l")
        await screen.sees("following")
        await screen.press("slash", *"line 3(", "enter")
        await screen.sees("not a pattern at character 7")
        await screen.press(*"5|6)0$", "enter")
        await screen.sees("/line 3(5|6)0$ 1 of 2 matches from the end", "line 360")
        await screen.press("N")
        await screen.sees("2 of 2 matches", "line 350")
        await screen.press("ampersand", *"99", "enter")
        await screen.sees("&99 5 lines", "line 99 ", "line 499")
        await screen.until(lambda: "line 350" not in screen.text, "the other lines to go")
        await screen.press("ampersand")
        for _ in "99":
            await screen.press("backspace")
        await screen.press("enter")
        await screen.sees("line 498")
        await screen.press("slash", "escape", "escape")
        await screen.sees("STATE")


async def test_the_last_line_is_seen_whatever_the_size_and_the_line_below(make_run, open_cockpit):
    make_run("chatty", log=LINES)
    async with open_cockpit() as screen:
        await screen.press("l")
        await screen.sees("line 499", "line 478 ")
        await screen.press("slash", *"line", "enter")
        await screen.sees("500 matches")
        await screen.press("f")
        await screen.until(lambda: "line 479 " in screen.lines[1], "one row less")
        assert "line 499" in screen.lines[-3]
        for size in ((120, 40), (40, 12), (80, 24)):
            await screen.pilot.resize_terminal(*size)
            await screen.until(lambda size=size: "line 499" in screen.lines[-3], f"the last line at {size}")
            await screen.until(
                lambda size=size: f"line {500 - size[1] + 3} " in screen.lines[1], f"the first line at {size}"
            )


async def test_wrapping_colours_times_and_long_lines(make_run, open_cockpit):
    log = "2026-01-02 03:04:05 \x1b[31mred\x1b[0m text\n" + "x" * 100 + "the end of it\n"
    make_run("wide", log=log)
    async with open_cockpit() as screen:
        await screen.press("l")
        await screen.sees("2026-01-02 03:04:05 red text", "xxxxx")
        assert "the end of it" not in screen.text
        await screen.press("right", "right")
        await screen.sees("the end of it")
        await screen.press("left", "left", "w")
        await screen.sees("the end of it", "2026-01-02 03:04:05 red text")
        await screen.press("t")
        await screen.until(lambda: "2026" not in screen.text, "the time to go")
        assert "red text" in screen.text


async def test_the_logs_of_earlier_attempts_can_be_read(make_run, open_cockpit):
    run = make_run("again", State.FINISHED, log="of the first\n")
    run.attempt(2).create(Request(NEWEST))
    run.attempt(2).log_path.write_text("of the second\n")
    run.state_path.write_text(run.state_path.read_text().replace('"attempt": 1', '"attempt": 2'))
    async with open_cockpit() as screen:
        await screen.press("l")
        await screen.sees("log of attempt 2 of 2", "of the second")
        await screen.press("less_than_sign")
        await screen.sees("log of attempt 1 of 2", "of the first")
        await screen.press("less_than_sign", "greater_than_sign")
        await screen.sees("log of attempt 2 of 2", "of the second")


async def test_a_selection_is_written_to_a_file(make_run, open_cockpit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run("chatty", log=LINES)
    async with open_cockpit() as screen:
        await screen.press("l")
        await screen.sees("following")
        await screen.press("v", "k", "k")
        await screen.sees("3 lines selected")
        await screen.press("Y")
        await screen.hears("Written to ")
        await screen.until(lambda: "selected" not in screen.text, "the selection to go")
    (path,) = tmp_path.glob("chatty-*.txt")
    assert path.read_text() == "line 497\nline 498\nline 499\n"
    assert path.stat().st_mode & 0o777 == 0o600


async def test_log_text_is_never_taken_for_markup(make_run, open_cockpit):
    make_run("markup", log="[bold red]loud[/] [link='x']y[/link] [/] \\[z]\n")
    async with open_cockpit() as screen:
        await screen.sees("[bold red]loud[/] [link='x']y[/link] [/] \\[z]")
        await screen.press("l")
        await screen.sees("[bold red]loud[/] [link='x']y[/link] [/] \\[z]")
        await screen.press("slash", *"[/", "enter")
        await screen.sees("not a pattern")


def test_a_pattern_that_takes_for_ever_does_not_hold_up_the_keys(make_run, home):
    make_run("chatty", log=LINES + "a" * 60 + "!\n")
    with Terminal(home, size=(120, 30)) as terminal:
        terminal.sees("chatty", "free")
        terminal.press("l")
        terminal.sees("line 499", "following")
        terminal.press("/(a+)+$\r")
        terminal.sees("0 matches so far")
        (searching,) = children_of(terminal.process.pid)
        terminal.press("k")
        terminal.sees("f follows")
        os.kill(terminal.process.pid, signal.SIGKILL)
        # The process that searches looks after its parent once a second, even then.
        deadline = time.monotonic() + 10
        while os.path.exists(f"/proc/{searching}"):
            assert time.monotonic() < deadline, "the search outlives the screens"
            time.sleep(0.05)


def children_of(pid):
    text = "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(word) for word in text.split()]


def test_a_log_in_a_real_terminal_is_copied_coloured_and_cheap(make_run, home):
    log = LINES + "\x1b[35mmagenta\x1b[0m \x1b]52;c;ZXZpbA==\x07end\n"
    run = make_run("chatty", step=1, log=log)
    with Terminal(home, environment={"TMUX": "", "STY": ""}) as terminal:
        terminal.sees("chatty", "free")
        terminal.press("l")
        terminal.sees("magenta end", "following")
        assert b"\x1b]52" not in terminal.received
        terminal.read(1.0)
        sent = 0
        for step in range(2, 5):
            add_steps(run, step, step, 100)
            sent += len(terminal.read(1.0))
        assert sent / 3 <= 500, "a log to which nothing is added costs nothing"
        terminal.press("vk")
        terminal.sees("2 lines selected")
        terminal.press("y")
        terminal.sees("Copied")
        (copied,) = re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", terminal.received)
        assert base64.b64decode(copied) == b"line 499\nmagenta end"
        terminal.press("q")


def test_what_is_copied_reaches_the_terminal_through_tmux_and_screen(monkeypatch, tmp_path):
    sent: list[str] = []
    monkeypatch.setenv("STY", "1.pts")
    monkeypatch.delenv("TMUX", raising=False)
    clipboard.copy("text", sent.append)
    assert sent == ["\x1bP\x1b]52;c;dGV4dA==\x07\x1b\\"]
    sent.clear()
    tmux = tmp_path / "tmux"
    tmux.write_text(f'#!/bin/sh\n[ "$*" = "load-buffer -w -" ] && cat > {tmp_path}/buffer\n')
    tmux.chmod(0o755)
    monkeypatch.setenv("TMUX", "socket")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "tmux" in clipboard.copy("text", sent.append)
    assert (Path(tmp_path) / "buffer").read_text() == "text"
    assert sent == []
    tmux.write_text("#!/bin/sh\nexit 1\n")
    clipboard.copy("text", sent.append)
    assert sent == ["\x1bPtmux;\x1b\x1b]52;c;dGV4dA==\x07\x1b\\"]
    assert "too many" in clipboard.copy("x" * 100_000, sent.append)
