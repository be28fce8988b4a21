"""The queue, with real keepers and a stand-in for the GPUs: order, leases, dependencies, and what is killed."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fttui_engine.runs.files import append_line, read_json, write_json
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.run import Run, find_run
from fttui_engine.runs.states import State
from fttui_engine.spec.resolved import read_spec
from fttui_engine.supervise.leases import holder_of
from run_driver import Driver, until

NVML = Path(__file__).parents[1] / "fake_nvml" / "fake_nvml.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")
LEASES = [f"gpu-00000000-0000-0000-0000-{index:012d}" for index in range(2)]
SEES_GPU_1 = {"CUDA_VISIBLE_DEVICES": "1"}
ANOTHER_BOOT = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if COMPILER is None:
        pytest.skip("needs a C compiler to build the stand-in for NVML")
    folder = tmp_path_factory.mktemp("nvml")
    library = str(folder / "libnvidia-ml.so.1")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", library, str(NVML)], check=True)
    return folder


class Queue:
    """Queues shell scripts that end when their file is there."""

    def __init__(self, driver: Driver, folder: Path) -> None:
        self.driver, self._folder = driver, folder

    def add(self, name: str, *words: object) -> Run:
        script = f'echo "gpus=$CUDA_VISIBLE_DEVICES"; until [ -e {self._folder}/{name} ]; do sleep 0.05; done'
        self.driver.cli("start", "--queue", "--name", name, *words, "--", "sh", "-c", script, check=0)
        return find_run(name, self.driver.home)

    def let_end(self, run: Run) -> None:
        (self._folder / run.id).touch()

    def waits(self, run: Run, text: str) -> None:
        """Wait until a run says what it waits for."""
        with suppress(AssertionError):
            until(lambda: text in read_state(run).detail, text)
        assert text in read_state(run).detail
        assert read_state(run).state is State.QUEUED


@pytest.fixture
def queue(driver: Driver, tmp_path: Path, nvml: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml))
    monkeypatch.setenv("FAKE_NVML", "cards:A,8,6,24576;B,8,6,24576")
    monkeypatch.setenv("FTTUI_LOCKS", str(tmp_path / "locks"))
    yield Queue(driver, tmp_path)


def gpus(run: Run) -> list[int] | None:
    return run.read_plan().gpus


def test_a_small_run_does_not_pass_a_big_one_unless_it_asks_to(queue: Queue) -> None:
    first = queue.add("first", "--gpus", 1)
    queue.driver.reach(first, State.RUNNING)
    big = queue.add("big", "--gpus", 2)
    queue.waits(big, "1st in the queue, waits for 2 GPUs: 1 free (GPU 0: first)")
    small = queue.add("small", "--gpus", 1)
    queue.waits(small, "2nd in the queue, waits for a GPU: 1 free; the first is big")
    filler = queue.add("filler", "--gpus", 1, "--backfill")
    queue.driver.reach(filler, State.RUNNING)
    assert gpus(filler) == [1]
    queue.let_end(filler)
    queue.driver.end(filler)
    assert read_state(small).state is State.QUEUED
    queue.let_end(first)
    queue.driver.reach(big, State.RUNNING)
    assert "gpus=0,1" in queue.driver.says(big, "gpus=")
    listed = {each["id"]: each for each in json.loads(queue.driver.cli("ls", "--json", check=0).stdout)}
    assert (listed["big"]["gpus"], listed["small"]["state"]) == ([0, 1], "queued")
    for run in (big, small):
        queue.let_end(run)
        assert queue.driver.end(run).state is State.FINISHED


def test_a_gpu_that_others_use_that_hangs_or_is_lost_is_set_aside_for_as_long(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver_state = tmp_path / "nvml"
    driver_state.write_text("two")
    monkeypatch.delenv("FAKE_NVML")
    monkeypatch.setenv("FAKE_NVML_FILE", str(driver_state))
    run = queue.add("r", "--gpus", "1,")
    queue.waits(
        run, "waits for GPU 1: 0 free (GPU 1: set aside, 5.0 GiB are held by no process that can be seen"
    )
    driver_state.write_text("hung_gpu")
    queue.waits(run, "GPU 1: set aside, it does not answer (no answer")
    began = time.monotonic()
    queue.driver.cli("stop", run.id, check=0)
    assert queue.driver.end(run).state is State.STOPPED and time.monotonic() - began < 5.0
    queue.driver.cli("resume", run.id, check=0)
    driver_state.write_text("mismatch")
    queue.waits(run, "The NVIDIA driver was upgraded while the old one is still loaded")
    queue.let_end(run)
    driver_state.write_text("eight_p4")
    assert queue.driver.end(run).state is State.FINISHED
    assert gpus(run) == [1]


def test_a_run_whose_gpu_was_lost_waits_for_another(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver_state, config = tmp_path / "nvml", tmp_path / "c.yaml"
    driver_state.write_text("eight_p4")
    monkeypatch.delenv("FAKE_NVML")
    monkeypatch.setenv("FAKE_NVML_FILE", str(driver_state))
    lost = "[ $FTTUI_ATTEMPT = 2 ] && exit 0; echo lost_gpu > nvml; echo NVRM: Xid 79, GPU has fallen off the bus; exit 1"
    settings = {"command": ["sh", "-c", lost], "gpus": [1], "restart": {"max": 2, "backoff_seconds": 0.1}}
    config.write_text(json.dumps({"run": settings}))
    queue.driver.cli("start", config, "--queue", check=0, cwd=tmp_path)
    run = find_run("c", queue.driver.home)
    queue.waits(run, "GPU 1: set aside, it does not answer")
    assert not any(map(holder_of, LEASES)) and gpus(run) is None
    assert queue.driver.happened(run, "restart_planned")
    driver_state.write_text("eight_p4")
    assert queue.driver.end(run).state is State.FINISHED
    assert (run.latest_attempt_number(), gpus(run)) == (2, [1])


def test_gpus_of_a_run_are_nobody_elses_until_its_last_process_is_gone(queue: Queue, tmp_path: Path) -> None:
    run = queue.add("holder", "--gpus", 2)
    queue.driver.reach(run, State.RUNNING)
    config = tmp_path / "c.yaml"
    config.write_text("model_name_or_path: demo:tiny\ndataset: demo:instructions\n")
    refused = queue.driver.cli("start", config, check=2)
    assert "GPU 0 by holder, GPU 1 by holder" in refused.stderr and "--queue waits" in refused.stderr
    assert not (queue.driver.home / "runs" / "c").exists()
    # Without its keeper the attempt itself keeps them.
    queue.driver.kill(run, "keeper")
    assert all(map(holder_of, LEASES))
    until(lambda: queue.driver.happened(run, "keeper_replaced"), "another keeper")
    queue.driver.pid(run, "keeper")
    assert all(map(holder_of, LEASES)) and read_state(run).state is State.RUNNING
    queue.driver.kill(run, "keeper", "supervisor", "process")
    until(lambda: not any(map(holder_of, LEASES)), "the kernel to free the leases")


def test_whoever_is_killed_while_waiting_keeps_its_place(queue: Queue) -> None:
    holder = queue.add("holder", "--gpus", 2)
    queue.driver.reach(holder, State.RUNNING)
    first, second = queue.add("first", "--gpus", 1), queue.add("second", "--gpus", 2)
    queue.waits(first, "1st in the queue")
    queue.waits(second, "2nd in the queue")
    queue.driver.kill(first, "supervisor")
    queue.driver.kill(second, "keeper")
    queue.waits(second, "the first is first")
    # Of a run that lost both, somebody has to find that out: here whoever lists runs.
    queue.driver.kill(first, "keeper", "supervisor")
    queue.driver.cli("ls", check=0)
    assert read_state(first).state is State.QUEUED
    queue.let_end(holder)
    queue.driver.reach(first, State.RUNNING)
    queue.waits(second, "1st in the queue, waits for 2 GPUs: 1 free")
    for run in (first, second):
        queue.let_end(run)
        assert queue.driver.end(run).state is State.FINISHED
        assert run.latest_attempt_number() == 1


def test_a_reboot_neither_starts_nor_loses_a_waiting_run(queue: Queue) -> None:
    holder = queue.add("holder", "--gpus", 2)
    queue.driver.reach(holder, State.RUNNING)
    waiting = queue.add("waiting", "--gpus", 1)
    queue.waits(waiting, "1st in the queue")
    queue.driver.kill(waiting, "keeper", "supervisor")
    another_boot(waiting)
    queue.driver.cli("reconcile", check=0)
    queue.waits(waiting, "1st in the queue")
    queue.let_end(holder)
    queue.let_end(waiting)
    assert queue.driver.end(waiting).state is State.FINISHED


def test_runs_without_gpu_go_one_after_another_by_priority(queue: Queue) -> None:
    first = queue.add("first")
    queue.driver.reach(first, State.RUNNING)
    second, urgent = queue.add("second"), queue.add("urgent", "--priority", 5)
    queue.waits(urgent, "1st in the queue, waits for the end of first")
    queue.waits(second, "2nd in the queue")
    queue.let_end(first)
    queue.driver.reach(urgent, State.RUNNING)
    assert read_state(second).state is State.QUEUED
    queue.driver.cli("stop", second.id, check=0)
    assert queue.driver.end(second).state is State.STOPPED
    queue.driver.cli("rm", "--yes", second.id, check=0)
    queue.let_end(urgent)
    queue.driver.end(urgent)


def test_a_run_that_follows_another_starts_after_success_and_is_parked_after_failure(queue: Queue) -> None:
    first = queue.add("first")
    second = queue.add("second", "--after", "first")
    third = queue.add("third", "--after", "second")
    queue.driver.reach(first, State.RUNNING)
    queue.waits(second, "waits for the end of first, which is running")
    queue.let_end(first)
    queue.driver.reach(second, State.RUNNING)
    queue.driver.cli("stop", "--now", "second", check=0)
    parked = queue.driver.end(third)
    assert parked.state is State.PARKED and parked.exit
    assert parked.exit.message == "second, which it was to follow, is stopped: Ended at once, as asked."
    refused = queue.driver.cli("start", "--after", "second", "--name", "fourth", "--", "true", check=2)
    assert "will not finish by itself" in refused.stderr
    # A person who resumes it knows what happened.
    queue.driver.cli("resume", "third", check=0)
    queue.let_end(third)
    assert queue.driver.end(third).state is State.FINISHED


def test_after_a_reboot_only_those_go_on_that_were_asked_to(queue: Queue) -> None:
    wanted = queue.driver.running(name="wanted", resume_after_reboot=True)
    other = queue.driver.running(name="other")
    # exec, since a process that outlived the others would rightly keep the GPU.
    on_gpu = queue.driver.running(
        "exec sleep 600",
        name="on-gpu",
        resume_after_reboot=True,
        gpus=[1],
        leases=(LEASES[1],),
        environment=SEES_GPU_1,
    )
    assert str(holder_of(LEASES[1])) == "on-gpu"
    for run in (wanted, other, on_gpu):
        queue.driver.kill(run, "keeper", "supervisor", "process")
        another_boot(run)
    blocker = queue.add("blocker", "--gpus", "1,")
    queue.driver.reach(blocker, State.RUNNING)
    said = queue.driver.cli("reconcile", "--resume", check=0).stdout
    assert "wanted: goes on\n" in said and "on-gpu: goes on as soon as its GPUs are free\n" in said
    for run in (wanted, on_gpu):
        queue.driver.reach(run, State.RUNNING)
        assert read_state(run).attempt == 2
    assert read_state(other).state is State.INTERRUPTED
    # Another GPU does as well: the one that it had is in use by now.
    launch = on_gpu.attempt(2).read_launch()
    assert launch and launch.environment["CUDA_VISIBLE_DEVICES"] == "0" and gpus(on_gpu) == [0]


def test_a_host_that_goes_down_leaves_a_waiting_run_in_the_queue(queue: Queue) -> None:
    first, second = queue.add("first"), queue.add("second")
    queue.waits(second, "1st in the queue")
    keeper, supervisor = queue.driver.pid(second, "keeper"), queue.driver.pid(second, "supervisor")
    os.kill(supervisor, 15)
    until(lambda: not os.path.exists(f"/proc/{keeper}"), "the keeper to go")
    assert read_state(second).state is State.QUEUED
    queue.driver.cli("ls", check=0)
    queue.waits(second, "1st in the queue")
    for run in (first, second):
        queue.let_end(run)
        assert queue.driver.end(run).state is State.FINISHED


def test_a_sweep_is_queued_as_a_whole_from_the_configuration_of_that_moment(
    queue: Queue, tmp_path: Path
) -> None:
    queue.add("first")
    config = tmp_path / "base.yaml"
    config.write_text(
        f"model_name_or_path: demo:tiny\ndataset: demo:instructions\noutput_dir: {tmp_path}/out\nrun: {{gpus: none}}\n"
    )
    wrong = queue.driver.cli("start", config, "--sweep", "learning_rate=1e-4,fast", check=2)
    assert "learning_rate" in wrong.stderr
    words = [
        "start",
        config,
        "--after",
        "first",
        "--sweep",
        "learning_rate=1e-4,2e-4",
        "--sweep",
        "seed=1,2",
        "--json",
    ]
    queued = json.loads(queue.driver.cli(*words, check=0).stdout)
    names = ["base-lr1e-4-seed1", "base-lr1e-4-seed2", "base-lr2e-4-seed1", "base-lr2e-4-seed2"]
    assert queued == {"sweep": "base", "runs": names}
    config.unlink()
    best = find_run(names[2], queue.driver.home)
    values = read_spec(best.spec_path).values
    assert (values["learning_rate"], values["seed"]) == (2e-4, 1)
    assert values["output_dir"] == str(tmp_path / "out" / names[2])
    for name, loss in zip(names, (3.0, float("nan"), 1.5, 2.0), strict=True):
        metrics = find_run(name, queue.driver.home).metrics_path
        append_line(metrics, {"step": 1, "time": 1.0, "attempt": 1, "eval_loss": loss})
        append_line(metrics, {"step": 2, "time": 2.0, "attempt": 1, "eval_loss": loss + 1})
    table = queue.driver.cli("sweep", "base", check=0).stdout.splitlines()
    assert [line.split()[0] for line in table] == ["ID", names[2], names[3], names[0], names[1]]
    assert "2e-4" in table[1] and table[1].endswith("1.5        1")
    assert queue.driver.cli("ls", "--sweep", "base", check=0).stdout.count("base-lr") == 4
    queue.driver.cli("stop", "first", check=0)
    for name in names:
        assert queue.driver.end(find_run(name, queue.driver.home)).state is State.PARKED


def another_boot(run: Run) -> None:
    """Rewrite who is on record, as another boot would have left it."""
    for path in (run.keeper_path, run.lease_path):
        value = read_json(path) or {}
        for field in ("keeper", "process", "supervisor"):
            if isinstance(value.get(field), dict):
                value[field]["boot_id"] = ANOTHER_BOOT
        write_json(path, value)
