"""What the screens cost and how soon they answer, each figure against its limit.

python benchmarks/tui_figures.py
python benchmarks/tui_figures.py --part keys --part chart
"""

import functools
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import measure
from screen_histories import Figure, answers, chart, log, table, times
from screen_scene import GPUS, SIZE, Scene, Screens

STEADY_SECONDS = 20.0
SETTLE_SECONDS = 12.0
"""By then all GPUs have been read, runs adopted, and the curves of the GPUs have begun."""


def wire(scene: Scene) -> Iterator[Figure]:
    """Bytes, CPU and memory of the dashboard."""
    scene.make_runs()
    with scene.screens("eight_live") as screens:
        screens.sees("training-0", *GPUS)
        screens.read(SETTLE_SECONDS)
        with scene.training():
            sent, cpu = screens.over(STEADY_SECONDS)
        yield Figure("8 GPUs and 3 runs change every second: to the terminal", sent / 1000, "KB/s", 5)
        yield Figure("  of a core", 100 * cpu, "%", 3)
        yield Figure("  resident", screens.rss_mib, "MiB", 70)
    with scene.screens("eight_still") as screens:
        screens.sees("training-0", *GPUS)
        screens.read(SETTLE_SECONDS)
        sent, cpu = screens.over(STEADY_SECONDS)
        yield Figure("the same, all values standing still: to the terminal", sent / 1000, "KB/s", 0.5)
        yield Figure("  of a core", 100 * cpu, "%", 3)
        screens.press("G\r")
        screens.sees("[1 Overview]", "esc back", "ended-")
        screens.read(3.0)
        sent, cpu = screens.over(STEADY_SECONDS)
        yield Figure("the page of a run that has ended: to the terminal", sent / 1000, "KB/s", 0)


def start(scene: Scene) -> Iterator[Figure]:
    """What it takes until the first full frame."""
    scene.make_runs()
    imports = (sys.executable, "-c", "import textual.app")
    base = min(_cpu_of(imports) for _ in range(5))
    for driver, condition in (("eight_live", GPUS), ("eight_hung", GPUS[:7]), ("slow_init", ())):
        seconds, spent = [], []
        for _ in range(5):
            began = time.monotonic()
            with scene.screens(driver) as screens:
                screens.sees("training-0", "q quit", "free", *condition)
                seconds.append(time.monotonic() - began)
                spent.append(screens.cpu_seconds)
        yield Figure(f"first full frame, driver {driver}", min(seconds), "s", 1)
        yield Figure("  median", statistics.median(seconds), "s")
        yield Figure("  CPU against `import textual.app`", min(spent) / base, "x", 1.5)


def _cpu_of(command: tuple[str, ...]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def keys(scene: Scene) -> Iterator[Figure]:
    """How soon a key is answered."""
    with Screens(None, ("sh", "-c", "stty -echo; echo ready; exec cat"), size=SIZE) as echo:
        echo.sees("ready")
        echo.read(0.5)
        seconds = [echo.answer_seconds("x\n", lambda: b"\n" in echo.received[-2:]) for _ in range(100)]
        yield from times("a line through `cat`: what this machine adds", seconds, is_limited=False)
    scene.make_runs()
    for driver in ("eight_live", "eight_hung"):
        with scene.screens(driver) as screens, scene.training():
            screens.sees("training-0", *GPUS[:7])
            screens.read(5.0)
            seconds = answers(screens, "jk", functools.partial(screens.column, 0))
            yield from times(f"a key on the dashboard, driver {driver}", seconds)


def leave(scene: Scene) -> Iterator[Figure]:
    """How long it takes to leave."""
    scene.make_runs()
    for driver in ("eight_live", "eight_hung", "slow_init"):
        with scene.screens(driver) as screens:
            screens.sees("training-0", "q quit")
            screens.read(3.0)
            began = time.monotonic()
            screens.press("q")
            screens.ends_within(10.0)
            yield Figure(f"leaving, driver {driver}", time.monotonic() - began, "s", 1)


PARTS: dict[str, Callable[[Scene], Iterator[Figure]]] = {
    "wire": wire, "start": start, "keys": keys, "leave": leave, "log": log, "chart": chart, "table": table,
}  # fmt: skip


def main() -> None:
    """Measure the parts asked for, each in a state folder of its own."""
    parser = measure.parser(__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; may be given again")
    options = parser.parse_args()
    figures: list[Figure] = []
    for name in options.part or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            for figure in PARTS[name](Scene(Path(folder))):
                print(f"{name}: {figure.what}: {figure.value:.4g} {figure.unit}", file=sys.stderr, flush=True)
                figures.append(figure)
    rows = [[each.what, f"{each.value:.4g}", each.unit, *_verdict(each)] for each in figures]
    measure.report(options, ["", "measured", "", "at most", ""], rows, [each._asdict() for each in figures])


def _verdict(figure: Figure) -> tuple[str, str]:
    if figure.limit is None:
        return "", ""
    return f"{figure.limit:g}", "ok" if figure.value <= figure.limit else "MISSED"


if __name__ == "__main__":
    main()
