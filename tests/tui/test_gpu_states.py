"""No state of the NVIDIA driver ends the program or leaves a lie on the screen; the CLI tells the same."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fake_driver import Driver, build
from real_terminal import Terminal

GOOD = "RTX 3090"


@pytest.fixture(scope="module")
def drivers(tmp_path_factory):
    """Folders with a new driver's library, an old one's, one that is no library, and none."""
    base = tmp_path_factory.mktemp("drivers")
    (base / "none").mkdir()
    (base / "garbage").mkdir()
    (base / "garbage" / "libnvidia-ml.so.1").write_text("no library")
    return {
        "new": build(base / "new"),
        "old": build(base / "old", "-DOLD_DRIVER"),
        "garbage": base / "garbage",
        "none": base / "none",
    }


@pytest.fixture
def driver_in(drivers, tmp_path):
    return lambda state, kind="new": Driver(drivers[kind], tmp_path / "scenario", state)


def gpus(driver: Driver, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fttui", "gpus", *words],
        env={**os.environ, **driver.environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


has_driver = Path("/proc/driver/nvidia").exists()

# State, driver, what the screen says, what the CLI says.
STATES = [
    ("one_gpu", "new", [GOOD, " 97%", "5.0G/24G", "250W", "71C"], [GOOD, "97%", "x4 of x16", "power limit"]),
    ("one_gpu", "old", [GOOD, " 97%", "5.1G/24G"], [GOOD, "97%", "the driver is too old for this"]),
    ("not_supported", "new", ["2080 Ti", "--%", "5.0G/24G"], ["2080 Ti", "--%"]),
    ("bad_memory", "new", [GOOD, "ECC"], ["a bad memory row waits to be replaced"]),
    ("mig", "new", ["MIG: 1", "0.1 3g.20gb", "0.2 3g.20gb", "free"], ["0.1  3g.20gb", "4.9G/19.5G", "free"]),
    ("lost_gpu", "new", [GOOD, " 97%", "--% GPU is lost"], ["97%", "(GPU is lost)"]),
    ("hung_gpu", "new", [GOOD, " 97%", "--% no answer for "], ["97%", "(no answer for 4 s)"]),
    ("denied_gpu", "new", [GOOD, " 97%", "--% Insufficient Permissions"], ["97%", "(Insufficient Permissions)"]),
    ("no_permission", "new", ["Host", "does not let this user see"], ["/dev/nvidia*"]),
    ("not_loaded", "new", ["Host", "installed but not loaded"], ["installed but not loaded"]),
    ("mismatch", "new", ["Host", "driver was upgraded"], ["reboot this machine"]),
    ("none", "new", ["Host", "it lists none"], ["it lists none"]),
    ("", "garbage", ["Host", "cannot be loaded"], ["is there but cannot be loaded"]),
    pytest.param(
        "", "none", ["Host", "No NVIDIA GPU on this machine"], ["is not installed"],
        marks=pytest.mark.skipif(has_driver, reason="this machine has a driver"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("state", "kind", "on_screen", "in_cli"), STATES)
def test_every_state_of_the_driver_is_told_as_it_is(state, kind, on_screen, in_cli, driver_in, home):
    driver = driver_in(state, kind)
    with Terminal(home, environment=driver.environment) as terminal:
        terminal.sees("fttui", *on_screen)
        asked = gpus(driver)
        terminal.sees(*on_screen)
        terminal.press("q")
        assert terminal.ends_within(2.0) == 0
    assert (asked.returncode, asked.stderr) == (0, "")
    for text in in_cli:
        assert text in asked.stdout


def test_a_gpu_that_hangs_is_lost_and_comes_back_never_shows_old_values_as_new(driver_in, home):
    driver = driver_in("two")
    with Terminal(home, size=(120, 40), environment=driver.environment) as terminal:

        def second(*texts: str) -> None:
            deadline = time.monotonic() + 20
            line = ""
            while not all(text in line for text in texts):
                assert time.monotonic() < deadline, f"{texts} not in {line!r}"
                terminal.read(0.1)
                line = next((each for each in terminal.screen.display if each.startswith(" 1  ")), "")

        second("97%", "5.0G", "other")
        driver.becomes("hung_gpu")
        second("no answer for", "(last 97% 5.0G, ")
        driver.becomes("two")
        second("97%", "71C", "other")
        driver.becomes("xid_lost")
        second("--% GPU is lost (Xid 79) (last 97% 5.0G, ")
        assert "97%" in terminal.screen.display[2], "the other GPU goes on"
        driver.becomes("two")
        second("97%", "71C", "Xid 79")
        terminal.press("u")
        terminal.sees("fell off the bus: power, heat or slot", "curves: the last 15 min")


def test_the_runs_and_the_keys_do_not_wait_for_a_driver_that_takes_its_time(driver_in, make_run, home):
    make_run("quick", step=5)
    driver = driver_in("slow_init")
    with Terminal(home, environment=driver.environment) as terminal:
        terminal.sees("quick", "has not answered for")
        driver.becomes("one_gpu")
        terminal.sees(GOOD, "97%")
        driver.becomes("slow_init")
        terminal.press("q")
        assert terminal.ends_within(2.0) == 0


def watching(driver: Driver, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fttui", "gpus", "--watch", *words],
        env={**os.environ, **driver.environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_watching_prints_json_lines_until_ctrl_c_and_follows_the_driver(driver_in):
    driver = driver_in("two")
    with watching(driver, "--json") as process:
        first = json.loads(process.stdout.readline())
        driver.becomes("lost_gpu")
        deadline = time.monotonic() + 20
        while not (latest := json.loads(process.stdout.readline()))["gpus"][1]["trouble"]:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
        assert process.stderr.read() == ""
    assert [gpu["trouble"] for gpu in first["gpus"]] == ["", ""]
    lost = latest["gpus"][1]
    assert lost["trouble"] == "GPU is lost"
    assert lost["read_at"] < latest["time"], "its last values say of when they are"
    assert latest["gpus"][0]["read_at"] > first["gpus"][0]["read_at"]
    (process_seen,) = first["gpus"][0]["processes"]
    assert process_seen["pid"] == os.getpid()
    assert process_seen["run"] is None


def test_watching_ends_quietly_when_nobody_reads(driver_in):
    with watching(driver_in("two")) as process:
        assert GOOD in process.stdout.readline() + process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""


def test_eight_gpus_that_move_every_second_cost_few_bytes(driver_in, home):
    """At most 5 KB/s at 200x50; stock widgets take 97 of them for curves alone."""
    with Terminal(home, size=(200, 50), environment=driver_in("eight_live").environment) as terminal:
        terminal.sees(*(f"\n {index}  GeForce RTX 3090" for index in range(8)))
        terminal.read(2.0)
        start, before, sent = time.monotonic(), terminal.text, 0
        while time.monotonic() - start < 4:
            sent += len(terminal.read(1.0))
        assert terminal.text != before
        assert sent / (time.monotonic() - start) <= 5_000
