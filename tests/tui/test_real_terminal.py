"""In a real pty: the end of the terminal, hostile log lines, bytes on the wire."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fttui_engine.runs.states import State
from real_terminal import Terminal, cpu_seconds
from run_maker import OUT_OF_MEMORY, add_steps

FAKE_DRIVER = Path(__file__).parents[1] / "fake_nvml" / "fake_nvml.c"
TERMINAL_GONE = 129
GONE_SECONDS = 2.0

HOSTILE = (
    "\x1b]52;c;ZXZpbA==\x07clipboard \x1b]0;title\x07\x1b[?1049l\x1b[2J\x1b[31mred\x1b[0m"
    "\x9b31m\x90q\x9c \x1bP+q\x1b\\ \x1b[6n \x1b[5i\x0e\x07 inert\n"
)


@pytest.fixture
def settled(make_run, home):
    make_run("steady", step=30, max_steps=100, log="the log\n")
    with Terminal(home) as terminal:
        terminal.sees("steady", "Log", "the log", "free")
        yield terminal


@pytest.mark.parametrize(
    "options",
    [{}, {"ignore_hangup": True}, {"controlling": False}],
    ids=["hangup", "hangup ignored", "no hangup"],
)
def test_the_program_is_gone_when_its_terminal_is(options, make_run, home):
    make_run("steady", step=30)
    with Terminal(home, **options) as terminal:
        terminal.sees("steady", "free")
        terminal.vanish()
        assert terminal.ends_within(GONE_SECONDS) == TERMINAL_GONE


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_ends_the_program_and_restores_the_terminal(settled, number):
    os.kill(settled.process.pid, number)
    settled.read(1.0)
    assert settled.ends_within(GONE_SECONDS) == TERMINAL_GONE
    settled.read(0.2)
    assert b"\x1b[?1049l" in settled.received[-200:]


def test_a_signal_ends_the_program_though_the_terminal_has_stopped_reading(make_run, home):
    """A stalled SSH connection: the event loop is stuck in a write that never returns."""
    run = make_run("steady", step=30, max_steps=100_000)
    with Terminal(home, size=(200, 50)) as terminal:
        terminal.sees("steady", "free")
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            terminal.press("?\x1b" + "l\x1b")
            add_steps(run, 31, 31, 100_000)
            time.sleep(0.1)
        os.kill(terminal.process.pid, signal.SIGTERM)
        assert terminal.ends_within(GONE_SECONDS) == TERMINAL_GONE


def test_leaving_restores_the_terminal_and_says_nothing(settled):
    settled.press("q")
    settled.read(1.5)
    assert settled.ends_within(GONE_SECONDS) == 0
    assert b"\x1b[?1049l" in settled.received[-200:]
    assert b"Traceback" not in settled.received


def test_hostile_text_reaches_the_terminal_as_text(make_run, home):
    verdict = OUT_OF_MEMORY._replace(message=f"failed: {HOSTILE}")
    make_run("hostile", State.FAILED, step=3, verdict=verdict, log=HOSTILE * 3)
    with Terminal(home, size=(120, 40)) as terminal:
        terminal.sees("hostile", "clipboard red", "inert", "free")
        terminal.press("l")
        terminal.sees("log of attempt 1", "clipboard red")
        for sequence in (
            b"\x1b]52",
            b"\x1b]0;",
            b"\x1b[?1049l",
            b"\x1b[2J",
            b"\x1b[6n",
            b"\x1b[5i",
            b"\x1bP+q",
        ):
            assert sequence not in terminal.received, sequence
        assert b"\x0e" not in terminal.received
        terminal.press("q")


def test_keys_that_arrive_together_go_where_they_were_meant_to_go(settled):
    """Over a slow connection: a path typed right after n, and a word typed right after K."""
    settled.press("n/data/jagged folder, kept/config-gG.yaml")
    settled.sees(" /data/jagged folder, kept/config-gG.yaml")
    settled.press("\x1b")
    settled.sees("STATE")
    settled.press("Ksteady?dnq")
    settled.sees("Kill steady?", "steady?dnq")


def test_a_screen_on_which_nothing_changes_costs_next_to_nothing(settled):
    settled.read(1.5)
    before = cpu_seconds(settled.process.pid)
    sent = settled.read(2.0)
    assert len(sent) / 2 <= 500, sent
    assert (cpu_seconds(settled.process.pid) - before) / 2 <= 0.1


def test_a_new_step_a_second_costs_few_bytes(make_run, home):
    """Over a slow link: at most 2 kB a second at 80x24, where stock widgets take 20."""
    run = make_run("stepping", step=50, max_steps=1000, log="")
    with Terminal(home) as terminal:
        terminal.sees("stepping", "free", "50/1000")
        terminal.read(1.0)
        start, sent = time.monotonic(), 0
        for step in range(51, 54):
            add_steps(run, step, step, 1000)
            with run.attempt(1).log_path.open("a") as log:
                log.write(f"step {step}\n")
            sent += len(terminal.read(1.0))
        assert f"{step - 1}/1000" in terminal.text or f"{step}/1000" in terminal.text
        assert sent / (time.monotonic() - start) <= 2_000


def test_the_first_picture_is_there_soon_and_without_torch(settled):
    assert settled.process.poll() is None
    maps = Path(f"/proc/{settled.process.pid}/maps").read_text()
    assert "libtorch" not in maps
    assert "tokenizers" not in maps


def test_the_numbers_around_an_open_question_go_on(home, make_run):
    run = make_run("trained", step=5, max_steps=100)
    with Terminal(home, size=(120, 40)) as terminal:
        terminal.sees("5/100")
        terminal.press("s")
        terminal.sees("Stop trained?")
        add_steps(run, 6, 42, 100)
        terminal.sees("42/100", "Stop trained?")


def test_an_exported_size_of_long_ago_is_not_believed(home, make_run):
    make_run("trained", step=5, max_steps=100)
    with Terminal(home, size=(120, 40), environment={"COLUMNS": "80", "LINES": "24"}) as terminal:
        # Below 120 columns the table has no column for them.
        terminal.sees("TOK/S", "CKPT")


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """A folder with a stand-in for the NVIDIA driver's library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "tests/system-packages installs the compiler that the stand-in for the driver needs"
    folder = tmp_path_factory.mktemp("driver")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(FAKE_DRIVER)], check=True)
    return folder


@pytest.mark.parametrize(
    ("scenario", "texts"),
    [
        ("one_gpu", ("GPUs", "RTX 3090", "W ")),
        ("lost_gpu", ("RTX 3090", "--%")),
        ("mismatch", ("Host", "driver was upgraded")),
    ],
)
def test_gpus_are_read_through_the_driver(scenario, texts, driver, home):
    with Terminal(home, environment={"LD_LIBRARY_PATH": str(driver), "FAKE_NVML": scenario}) as terminal:
        terminal.sees(*texts)


def test_a_gpu_in_full_says_what_slows_it_down_and_whose_its_processes_are(driver, make_run, home):
    run = make_run("mine", step=12, max_steps=40)
    ours = {**os.environ, "FTTUI_RUN": "mine", "FTTUI_RUN_DIR": str(run.path), "RANK": "1"}
    with subprocess.Popen(["sleep", "60"], env=ours) as process:
        try:
            variables = {
                "LD_LIBRARY_PATH": str(driver),
                "FAKE_NVML": "one_gpu",
                "FAKE_NVML_PID": str(process.pid),
            }
            with Terminal(home, environment=variables) as terminal:
                terminal.sees("RTX 3090", "mine")
                terminal.press("u")
                terminal.sees(
                    "250 of 350 W", "1395 of 2100 MHz", "4 of 16", "31 corrected, 2 not", "74.0M reserved"
                )
                terminal.sees("slowed down by its power limit, heat (the card's own limit")
                terminal.sees("mine  rank 1  step 12", str(process.pid))
                terminal.press("q")
                terminal.sees("STATE")
        finally:
            process.kill()


def test_a_gpu_that_tells_little_says_why(driver, home):
    with Terminal(home, environment={"LD_LIBRARY_PATH": str(driver), "FAKE_NVML": "lost_gpu"}) as terminal:
        terminal.sees("RTX 3090")
        terminal.press("u")
        terminal.sees("GPU is lost", "97%")
        terminal.press("j kq")
        terminal.sees("There are no runs yet")
