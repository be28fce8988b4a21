"""What the benchmarks of the screens look at: a terminal of 200x50, eight GPUs, 20 runs of which three train.

Terminal, run directories and driver are those of the tests: a real pty, the engine's own files, and a stand-in for the
NVIDIA driver's library that the normal loader loads.

python benchmarks/screen_scene.py HOME STEP    adds a step a second to the three, from STEP on
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "tui")]

import fake_driver  # noqa: E402
from fttui_engine.runs.home import ensure_home, runs_folder  # noqa: E402
from fttui_engine.runs.run import Run  # noqa: E402
from fttui_engine.runs.states import State  # noqa: E402
from real_terminal import COCKPIT, Terminal  # noqa: E402
from run_maker import RunMaker, add_steps  # noqa: E402

SIZE = (200, 50)
ENDED, TRAINING = 17, 3
FIRST_STEP, LAST_STEP = 60, 100_000
GPUS = tuple(f"\n {index}  GeForce RTX 3090" for index in range(8))


class Screens(Terminal):
    """The screens in a pty, with a watch for what a key takes and counters for what they cost."""

    def answer_seconds(self, keys: str, is_answered: Callable[[], bool], most: float = 10.0) -> float:
        """Press keys and return the time until what answers them has arrived."""
        pressed = time.monotonic()
        self.press(keys)
        while (left := pressed + most - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                data, arrived = os.read(self.master, 65536), time.monotonic()
                self.received += data
                self._stream.feed(data)
                if is_answered():
                    return arrived - pressed
        raise TimeoutError(f"{keys!r} was not answered; the screen shows:\n{self.text}")

    def row(self, y: int) -> str:
        """Return one row of the screen; all of them take 20 ms."""
        return "".join(self.screen.buffer[y][x].data for x in range(self.screen.columns))

    def column(self, x: int) -> str:
        """Return one column of the screen."""
        return "".join(self.screen.buffer[y][x].data for y in range(self.screen.lines))

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all threads so far, to the microsecond."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in tasks) / 1e9

    @property
    def rss_mib(self) -> float:
        """What is resident now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def over(self, seconds: float, each_second: Callable[[], object] = bool) -> tuple[float, float]:
        """Return bytes and CPU seconds per second over some time."""
        began, cpu, sent = time.monotonic(), self.cpu_seconds, 0
        while time.monotonic() - began < seconds:
            each_second()
            sent += len(self.read(1.0))
        took = time.monotonic() - began
        return sent / took, (self.cpu_seconds - cpu) / took


class Scene:
    """A state folder with runs, and a driver."""

    def __init__(self, work: Path) -> None:
        self.work, self.home = work, work / "state"
        # Runs and GPU locks of this machine stay out of it.
        os.environ["FTTUI_HOME"], os.environ["FTTUI_LOCKS"] = str(self.home), str(work / "locks")
        ensure_home(self.home)
        self.make_run = RunMaker(self.home)
        self._library = fake_driver.build(work / "driver")

    def make_runs(self) -> None:
        """Make those that have ended, then those that train."""
        for number in range(ENDED):
            state = State.FAILED if number % 5 == 4 else State.FINISHED
            self.make_run(f"ended-{number:02}", state, step=20, max_steps=20, log="the end\n")
        for number in range(TRAINING):
            self.make_run(
                f"training-{number}", step=FIRST_STEP, max_steps=LAST_STEP, log="loading the model\n"
            )

    @contextmanager
    def screens(self, driver: str = "eight_live", *arguments: str) -> Iterator[Screens]:
        """Open the screens before GPUs in some state."""
        environment = {"LD_LIBRARY_PATH": str(self._library), "FAKE_NVML": driver}
        with Screens(
            self.home,
            (*COCKPIT, "--fresh", *arguments),
            size=SIZE,
            environment=environment | {"FAKE_NVML_PID": ""},
        ) as screens:
            yield screens

    @contextmanager
    def training(self) -> Iterator[None]:
        """Have the three runs go on, a step a second, from a process of its own."""
        step = len(Run(runs_folder(self.home) / "training-0").metrics_path.read_bytes().splitlines()) + 1
        with subprocess.Popen([sys.executable, __file__, str(self.home), str(step)]) as writer:
            try:
                yield
            finally:
                writer.terminate()

    def write_metrics(self, run_id: str, points: int) -> Run:
        """Give a run a history of so many points: 230 bytes each, as the worker writes them."""
        run = Run(runs_folder(self.home) / run_id)
        began = time.time() - points
        with run.metrics_path.open("w") as file:
            for step in range(1, points + 1):
                file.write(json.dumps(point(step, began + step)) + "\n")
        return run


def point(step: int, moment: float) -> dict[str, float]:
    """Return what is logged of a step."""
    noise = (step * 2654435761 % 1000) / 1000
    return {
        "step": step, "time": round(moment, 3), "attempt": 1, "loss": round(1.2 + 300 / (step + 200) + 0.2 * noise, 6),
        "learning_rate": 1e-4, "grad_norm": round(0.5 + noise, 6), "epoch": step / 1e5, "tokens": step * 4096,
        "tokens_per_second": 18_400.5, "step_seconds": 0.4132, "gpu_memory_peak_bytes": 21_474_836_480,
    }  # fmt: skip


def go_on(home: Path, step: int) -> None:
    """Add a step a second to the runs that train, and a line to their logs."""
    while True:
        for number in range(TRAINING):
            run = Run(runs_folder(home) / f"training-{number}")
            add_steps(run, step, step, LAST_STEP)
            with run.attempt(1).log_path.open("a") as log:
                log.write(f"step {step}: loss {step % 97 / 50:.3f}, as programs like to say of each step\n")
        step += 1
        time.sleep(1.0)


if __name__ == "__main__":
    go_on(Path(sys.argv[1]), int(sys.argv[2]))
