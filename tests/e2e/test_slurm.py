"""Runs on a real cluster of Slurm: submitted, limited in time, cancelled, lost with their node, and never run twice."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fttui_engine.runs.checkpoints import list_checkpoints
from fttui_engine.runs.events import read_events
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.metrics import read_metrics
from fttui_engine.runs.run import Run, find_run
from fttui_engine.runs.slurm_job import read_sights, require_slurm_job, write_sights, write_slurm_job
from fttui_engine.runs.states import State
from fttui_engine.slurm import looks
from fttui_engine.slurm.programs import LOOK_SECONDS
from fttui_engine.supervise import slurm_queue
from run_driver import Driver, marked_processes, until
from slurm_cluster import Cluster, eventually, missing_programs

SECRET = "a token that is nobody's business"

# Counts tenths of a second, says so, and goes on from where it was told to stop.
PROGRAM = """
import os, pathlib, signal, sys, time
place, last = pathlib.Path(sys.argv[1]), int(sys.argv[2])
count, stop = int(place.read_text()) if place.exists() else 0, []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
print("from", count, "on GPUs", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
while count < last and not stop:
    time.sleep(0.1)
    count += 1
    place.write_text(str(count))
"""

TRAINING = """
model_name_or_path: demo:tiny
dataset: demo:instructions
finetuning_type: lora
max_steps: 400
save_steps: 100
logging_steps: 1
per_device_train_batch_size: 1
use_cpu: true
run: {launcher: slurm, nodes: 2, slurm: {time: 60}}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if missing := missing_programs():
        if os.geteuid() == 0:
            pytest.fail(f"sh tests/system-packages installs what is missing: {', '.join(missing)}")
        pytest.skip(f"needs {', '.join(missing)}: sudo sh tests/system-packages")
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


class Submitter:
    """Submits the counting program as a run, and looks after it as a person on a login node would."""

    def __init__(self, driver: Driver, cluster: Cluster, folder: Path) -> None:
        self.driver, self.cluster, self._folder = driver, cluster, folder
        (folder / "count.py").write_text(PROGRAM)

    def submit(self, name: str, last: int, slurm: str = "{}") -> Run:
        command = json.dumps(["python3", str(self._folder / "count.py"), str(self.place(name)), str(last)])
        config = self._folder / f"{name}.yaml"
        config.write_text(f"run: {{launcher: slurm, slurm: {slurm}, command: {command}}}\n")
        self.driver.cli("start", config, "--name", name, check=0)
        return find_run(name, self.driver.home)

    def place(self, name: str) -> Path:
        return self._folder / f"{name}.count"

    def counted(self, name: str) -> int:
        return int(self.place(name).read_text() or 0) if self.place(name).exists() else 0

    def counting(self, run: Run) -> None:
        self.driver.reach(run, State.RUNNING)
        until(lambda: self.counted(run.id) > 0, "the program to count")

    def look_again(self) -> None:
        """Have the next viewer ask Slurm again, and not only after 10 s."""
        write_sights(self.driver.home, read_sights(self.driver.home)._replace(asked_at=0.0))

    def shows(self, run: Run, text: str) -> None:
        """Wait until ``fttui show`` says what a run waits for."""

        def is_shown() -> bool:
            self.look_again()
            return text in self.driver.show(run)["detail"]

        eventually(is_shown, text)

    def close(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """Look until it is noticed that a job is over; in earnest a look is good for 10 s, and last words have 15 s."""
        monkeypatch.setattr(looks, "EVERY_SECONDS", 0.0)
        monkeypatch.setattr(slurm_queue, "LAST_WORDS_SECONDS", 0.1)
        until(lambda: slurm_queue.close_if_gone(run, 1.0), "the end of the job to be noticed")

    def job(self, run: Run) -> str:
        return require_slurm_job(run.slurm_path).job_id


@pytest.fixture
def submitter(
    driver: Driver, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Submitter]:
    monkeypatch.setenv("SLURM_CONF", str(cluster.config))
    monkeypatch.setenv("A_TOKEN", SECRET)
    yield Submitter(driver, cluster, tmp_path)
    cluster("scancel", "--me")
    eventually(lambda: not cluster("squeue", "-h", "-o", "%i"), "the jobs to be gone")


def sentences(run: Run) -> str:
    return "\n".join(event.message for event in read_events(run.events_path))


def test_a_run_on_two_nodes_saves_before_the_time_limit_goes_back_to_the_queue_and_goes_on(
    submitter: Submitter, tmp_path: Path
) -> None:
    driver, cluster = submitter.driver, submitter.cluster
    limited = submitter.submit("limited", 3000, "{time: 5, signal_seconds: 60}")
    submitter.counting(limited)
    # Slurm looks at limits every 30 s. Meanwhile a training is sent by hand what Slurm sends then.
    cluster("scontrol", "update", f"JobId={submitter.job(limited)}", "TimeLimit=1")
    (tmp_path / "train.yaml").write_text(TRAINING)
    said = driver.cli("start", tmp_path / "train.yaml", "--name", "t", check=0)
    run = find_run("t", driver.home)
    job = submitter.job(run)
    assert f"t is submitted as Slurm job {job}" in said.stderr
    until(lambda: len(read_metrics(run.metrics_path)) > 2, "the first steps", 60.0)
    cluster("scancel", "--batch", "--signal=USR1", job)
    driver.reach(run, State.QUEUED, seconds=30.0)
    saved_at = list_checkpoints(run.output_dir)[-1]
    assert saved_at.complete and saved_at.step < 400
    cluster.reach(job, "PENDING")
    submitter.look_again()
    shown = driver.show(run)
    assert (
        f"Slurm job {job} waits: Slurm lets a requeued job rest" in shown["detail"]
        and shown["slurm_job"] == job
    )
    driver.reach(run, State.RUNNING, seconds=60.0)
    driver.cli("stop", run.id, check=0)
    assert driver.end(run, 60.0).state is State.STOPPED
    steps = [int(point["step"]) for point in read_metrics(run.metrics_path) if "loss" in point]
    assert steps == list(range(1, len(steps) + 1)) and steps[-1] > saved_at.step, "each step once, in order"
    assert f"goes on from {saved_at.path}" in sentences(run)
    assert "2 per step (1 x 1 x 2 processes)" in driver.log(run), "one rank on each node"
    cluster.reach(job, "COMPLETED")
    until(lambda: driver.happened(limited, "requeued"), "Slurm's signal to the other run", 60.0)
    driver.cli("stop", limited.id, check=0)


def test_a_lost_node_costs_no_run(submitter: Submitter) -> None:
    driver, cluster = submitter.driver, submitter.cluster
    lost = submitter.submit("lost", 50)
    submitter.counting(lost)
    node = require_slurm_job(lost.slurm_path).node
    cluster.lose_node(node, submitter.job(lost))
    assert read_state(lost).state is State.RUNNING, "nobody was left to say that it ended"
    submitter.shows(lost, "Slurm lets a requeued job rest")
    driver.reach(lost, State.FINISHED, seconds=60.0)
    assert submitter.counted("lost") == 50 and read_state(lost).attempt == 2
    other = {"n1": "n2", "n2": "n1"}[node]
    assert f"again on {other} (restart 1); attempt 1 ended with its node" in sentences(lost)
    cluster.start_node(node)
    cluster("scontrol", "update", f"NodeName={node}", "State=RESUME")


def test_what_waits_or_runs_can_be_stopped_from_the_login_node(submitter: Submitter, tmp_path: Path) -> None:
    driver, cluster = submitter.driver, submitter.cluster
    waits = submitter.submit("waits", 50, "{extra: [--hold]}")
    runs = submitter.submit("runs", 600, "{gres: 'gpu:2'}")
    submitter.shows(waits, "held by its user")
    submitter.counting(runs)
    answer = driver.cli("stop", waits.id, check=0).stderr
    assert f"Slurm job {submitter.job(waits)} is cancelled" in answer
    cluster.reach(submitter.job(waits), "CANCELLED")
    assert read_state(waits).state is State.STOPPED and not submitter.place("waits").exists()
    # Nothing that Slurm keeps or shows has a secret in it; the run's own copy is private and goes with its end.
    environment = runs.environment_path
    assert SECRET in environment.read_text() and environment.stat().st_mode & 0o077 == 0
    for text in (runs.slurm_script_path.read_text(), cluster("scontrol", "show", "job", submitter.job(runs))):
        assert SECRET not in text
    assert not [
        path for path in cluster.folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    driver.cli("stop", runs.id, check=0)
    assert driver.end(runs).state is State.STOPPED
    cluster.reach(submitter.job(runs), "COMPLETED")
    assert not environment.exists()
    counted = submitter.counted("runs")
    driver.cli("resume", runs.id, check=0)
    until(lambda: submitter.counted("runs") > counted, "it to go on")
    assert f"from {counted} on GPUs 0,1" in driver.log(runs, 2), "it sees the GPUs that Slurm gave it"
    driver.cli("stop", "--now", runs.id, check=0)
    assert driver.end(runs).state is State.STOPPED


def test_a_job_that_somebody_cancels_interrupts_its_run(
    submitter: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, cluster = submitter.driver, submitter.cluster
    waits = submitter.submit("waits", 50, "{extra: [--hold]}")
    runs = submitter.submit("runs", 600)
    submitter.counting(runs)
    cluster("scancel", submitter.job(waits), submitter.job(runs))
    ended = driver.end(runs)
    assert (
        ended.state is State.INTERRUPTED and ended.exit and "Slurm asked the job to end" in ended.exit.message
    )
    submitter.close(waits, monkeypatch)
    closed = read_state(waits)
    assert closed.state is State.INTERRUPTED and closed.exit
    assert closed.exit.message == f"Slurm job {submitter.job(waits)} ended: CANCELLED."
    assert not waits.environment_path.exists()


def test_runs_outlive_slurmctld_and_a_stopped_one_does_not_begin_when_it_is_back(
    submitter: Submitter,
) -> None:
    driver, cluster = submitter.driver, submitter.cluster
    waits = submitter.submit("waits", 50, "{extra: [--hold]}")
    runs = submitter.submit("runs", 20)
    submitter.counting(runs)
    submitter.shows(waits, "held by its user")
    cluster.stop_controller()
    try:
        submitter.look_again()
        began = time.monotonic()
        assert "Slurm does not answer" in driver.cli("ls", check=0).stdout
        assert time.monotonic() - began < 3 * LOOK_SECONDS, "it waits for Slurm only so long"
        assert "held by its user" in driver.cli("ls", check=0).stdout, "what was known is still shown"
        assert driver.end(runs).state is State.FINISHED
        answer = driver.cli("stop", waits.id, check=0).stderr
        assert "it is stopped, but its job is still there" in answer and "will end as it begins" in answer
    finally:
        cluster.start_controller()
    cluster("scontrol", "release", submitter.job(waits))
    cluster.reach(submitter.job(waits), "COMPLETED")
    assert read_state(waits).state is State.STOPPED and not submitter.place("waits").exists()
    assert "waits is stopped; nothing is to be done" in waits.slurm_log_path.read_text()


def test_what_slurm_refuses_leaves_nothing_behind(submitter: Submitter, tmp_path: Path) -> None:
    driver = submitter.driver
    config = tmp_path / "c.yaml"
    config.write_text("run: {launcher: slurm, slurm: {partition: nowhere}, command: [echo, hello]}\n")
    refused = driver.cli("start", config, check=1)
    assert "sbatch refused: invalid partition specified: nowhere" in refused.stderr
    assert not json.loads(driver.cli("ls", "--json", check=0).stdout)
    run = submitter.submit("r", 0)
    assert driver.end(run, 30.0).state is State.FINISHED
    submitter.cluster.reach(submitter.job(run), "COMPLETED")
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setenv("PATH", str(tmp_path))
        assert "there is no sbatch on this host" in driver.cli("resume", run.id, check=1).stderr
    assert read_state(run).state is State.FINISHED and not run.environment_path.exists()
    config.write_text("run: {launcher: slurm, gpus: 1, command: [echo, hello]}\n")
    assert "not in that of fttui" in driver.cli("start", "--queue", config, check=2).stderr


def test_a_life_of_a_job_that_slurm_has_given_up_ends_itself(
    submitter: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submitter.submit("twice", 600)
    submitter.counting(run)
    # What the next life writes first, on another node, while this one is out of Slurm's reach.
    job = require_slurm_job(run.slurm_path)
    write_slurm_job(run.slurm_path, job._replace(restarts=1, node="elsewhere"))
    until(lambda: not marked_processes(run.path), "all its processes to be gone", 5.0)
    assert read_state(run).state is State.RUNNING, "that is for the other life to change"
    submitter.cluster.reach(job.job_id, "FAILED")
    assert "another life of this job is in charge" in run.slurm_log_path.read_text()
    submitter.close(run, monkeypatch)
    assert read_state(run).state is State.INTERRUPTED
    assert f"Slurm job {job.job_id} ended: FAILED" in sentences(run)
