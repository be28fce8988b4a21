"""The parts of tui_figures.py that are about long histories: logs of gigabytes, a million points, a thousand runs."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from screen_scene import LAST_STEP, Scene, Screens, add_steps, point

from fttui_engine.runs.metrics import MetricsWriter
from fttui_engine.runs.states import State

PRESSES = 40
OPENINGS = 7
MEDIAN_MS, LONGEST_MS = 30.0, 100.0
MANY_RUNS, MANY_POINTS = 1_000, 1_000_000
HUGE_LOG_BYTES, LONG_LINE_BYTES = 10 * 2**30, 500 * 2**20
LINES_A_SECOND, WRITING_SECONDS = 100_000, 5
LINE = "step {number}: loss 1.2345, grad_norm 0.8301, and what else programs say of it\n"


class Figure(NamedTuple):
    """One measured value; ``limit`` is the most that it may be."""

    what: str
    value: float
    unit: str
    limit: float | None = None


def times(what: str, seconds: list[float], *, is_limited: bool = True) -> Iterator[Figure]:
    """Return median and longest."""
    yield Figure(
        f"{what}: median", 1000 * statistics.median(seconds), "ms", MEDIAN_MS if is_limited else None
    )
    yield Figure("  longest", 1000 * max(seconds), "ms", LONGEST_MS if is_limited else None)


def answers(screens: Screens, keys: str, look: Callable[[], object], count: int = PRESSES) -> list[float]:
    """Press keys in turn, at all moments of a second, until what is looked at has changed."""
    seconds = []
    for number in range(count):
        screens.read(0.15 + number % 7 * 0.03)
        before = look()
        key = keys[number % len(keys)]
        seconds.append(screens.answer_seconds(key, lambda before=before: look() != before))
    return seconds


def log(scene: Scene) -> Iterator[Figure]:
    """A log of 10 GB, which grows, and one with a line of 500 MB."""
    path = scene.make_run("long", step=3, max_steps=LAST_STEP).attempt(1).log_path
    with path.open("ab") as file:
        file.write(b"the first line\n")
        file.truncate(HUGE_LOG_BYTES)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"".join(LINE.format(number=number).encode() for number in range(LINES_A_SECOND)))
    with scene.screens() as screens:
        screens.sees("long", "q quit")
        screens.read(2.0)
        yield from _openings("10 GB of log: last page", screens, f"step {LINES_A_SECOND - 1}: loss")
        yield from times("a key while it is open", answers(screens, "kkkjj", lambda: screens.row(20)))
        screens.press("f")
        yield from _following(screens, path)
        yield Figure("  resident after that", screens.rss_mib, "MiB", 100)
    with path.open("wb") as file:
        for _ in range(LONG_LINE_BYTES // 2**20):
            file.write(b"x" * 2**20)
        file.write(b"\nthe last line\n")
    with scene.screens() as screens:
        screens.sees("long", "q quit")
        screens.read(2.0)
        yield from _openings("500 MB in one line: last page", screens, "the last line")

        def is_end_shown() -> bool:
            return any("the last line" in screens.row(y) for y in range(40, 49))

        screens.press("k")
        screens.until(lambda: not is_end_shown() and "xxxx" in screens.row(20), "the long line")
        yield from times("a key in it", answers(screens, "jk", is_end_shown, 20))
        yield Figure("  resident after that", screens.rss_mib, "MiB", 100)


def _openings(what: str, screens: Screens, text: str) -> Iterator[Figure]:
    def is_there() -> bool:
        return any(text in screens.row(y) for y in range(40, 49)) and "read-only" not in screens.row(0)

    seconds, spent = [], []
    for number in range(OPENINGS):
        before = screens.cpu_seconds
        seconds.append(screens.answer_seconds("l", lambda: "log of attempt" in screens.row(0) and is_there()))
        spent.append(screens.cpu_seconds - before)
        if number < OPENINGS - 1:
            screens.press("\x1b")
            screens.sees("STATE")
            screens.read(1.0)
    yield Figure(what, 1000 * statistics.median(seconds), "ms", 50)
    yield Figure("  CPU", 1000 * statistics.median(spent), "ms")


def _following(screens: Screens, path: Path) -> Iterator[Figure]:
    screens.read(1.5)
    cpu, received, began = screens.cpu_seconds, len(screens.received), time.monotonic()
    number, part = LINES_A_SECOND, LINES_A_SECOND // 10
    with path.open("a") as file:
        for tenth in range(10 * WRITING_SECONDS):
            file.write("".join(LINE.format(number=number + index) for index in range(part)))
            file.flush()
            number += part
            screens.read(max(0.0, began + (tenth + 1) / 10 - time.monotonic()))
    written = time.monotonic()
    screens.until(
        lambda: any(f"step {number - 1}: loss" in screens.row(y) for y in range(40, 49)), "the last line"
    )
    took = time.monotonic() - began
    yield Figure(
        f"{(number - LINES_A_SECOND) / (written - began):.0f} lines/s: last one late by",
        took - written + began,
        "s",
        1.5,
    )
    yield Figure("  of a core", 100 * (screens.cpu_seconds - cpu) / took, "%")
    yield Figure("  to the terminal", (len(screens.received) - received) / took / 1000, "KB/s")


def chart(scene: Scene) -> Iterator[Figure]:
    """A chart of a million points."""
    run = scene.make_run("long", step=3, max_steps=2 * MANY_POINTS)
    scene.write_metrics("long", MANY_POINTS)
    with scene.screens() as screens:
        screens.sees("long", "q quit")
        screens.press("\r")
        screens.sees("Checkpoints")

        def is_drawn() -> bool:
            return any("\u2800" < sign <= "\u28ff" for sign in screens.row(20)) and "x step" in screens.row(2)

        yield Figure(
            "1,000,000 points: first picture", 1000 * screens.answer_seconds("2", is_drawn), "ms", 500
        )
        seconds = answers(screens, "oo", lambda: screens.row(2))
        yield from times("a key while 230 MB are read", seconds)
        screens.until(lambda: "a sample" not in screens.row(2), "the whole history", 120.0)
        screens.read(3.0)
        _, still = screens.over(8.0)
        step, writer = MANY_POINTS, MetricsWriter(run.metrics_path)

        def add() -> None:
            nonlocal step
            step += 1
            writer.append(point(step, time.time()))

        sent, cpu = screens.over(8.0, add)
        yield Figure("a further point: to the terminal", sent / 1000, "KB", 1)
        yield Figure("  CPU, all threads", 1000 * (cpu - still), "ms", 10)
        yield Figure("  resident", screens.rss_mib, "MiB")


def table(scene: Scene) -> Iterator[Figure]:
    """A thousand runs."""
    scene.make_runs()
    few = _start(scene, 20)
    for number in range(MANY_RUNS):
        scene.make_run(f"many-{number:04}", State.FINISHED, log="the end\n")
    run = scene.make_run("steps", step=1, max_steps=LAST_STEP, log="the log\n")
    _start(scene, MANY_RUNS + 21)
    many = _start(scene, MANY_RUNS + 21)
    yield Figure("1,000 runs: CPU until they are listed, above that for 20", 1000 * (many - few), "ms", 300)
    with scene.screens() as screens:
        screens.sees("steps", f"of {MANY_RUNS + 21}")
        screens.read(8.0)
        yield from times("a key with 1,000 runs", answers(screens, "jk", lambda: screens.column(0)))
        screens.press("g")
        screens.read(3.0)
        _, still = screens.over(10.0)
        step = 1

        def add() -> None:
            nonlocal step
            step += 1
            add_steps(run, step, step, LAST_STEP)

        sent, cpu = screens.over(10.0, add)
        yield Figure("one of them goes on, a step a second: to the terminal", sent / 1000, "KB/s", 5)
        yield Figure("  of a core", 100 * cpu, "%")
        yield Figure("  of a core while nothing changes", 100 * still, "%")
        yield Figure("  resident", screens.rss_mib, "MiB", 70)


def _start(scene: Scene, runs: int) -> float:
    spent = []
    for _ in range(3):
        with scene.screens() as screens:
            screens.sees("STATE", "q quit", "free", f"of {runs}")
            spent.append(screens.cpu_seconds)
    return min(spent)
