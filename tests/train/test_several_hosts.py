"""One training over several hosts, here two folders on one host: its stop, its checkpoints, and what is said of a fault."""

import os
import shutil
import signal
import socket
from pathlib import Path

import pytest

from fttui_engine.runs.checkpoints import list_checkpoints, read_manifest
from fttui_engine.train.ranks.place import Node, Place, ranks_argv


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Host:
    """One host's part of a run: a folder of its own, and its ranks."""

    def __init__(self, run, place):
        self.run, self.place = run, place

    def start(self, resume_from=None):
        self.attempt = self.run.start(resume_from, place=ranks_argv(self.place))
        return self.attempt

    def resume(self):
        return self.start(self.run.checkpoints()[-1].path)

    def ended(self):
        return self.run.ended(self.attempt)

    @property
    def log(self):
        return self.attempt.log_path.read_text()


@pytest.fixture
def hosts(ranked, port):
    """Makes the hosts of a run, each with its folders; on a real one the run's id is the same too."""

    def make(ranks, *, shared=False, **values):
        nodes = tuple(Node(f"h{number}", count) for number, count in enumerate(ranks, 1))
        return [
            Host(
                ranked(f"{node.name}/run", **values),
                Place(nodes, index, "127.0.0.1", port, is_shared=shared, meet_seconds=60.0),
            )
            for index, node in enumerate(nodes)
        ]

    return make


UNEVEN = {
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "max_steps": 11,
    "save_steps": 3,
    # Whole weights: transformers by itself writes them on the first host only.
    "finetuning_type": "full",
    "learning_rate": 5e-4,
    "run": {"processes": 3, "rank_batches": [3, 2, 1]},
}


def test_hosts_with_folders_of_their_own_stop_and_go_on_as_one_process(ranked, hosts, without_dropout):
    values = UNEVEN | {"model_name_or_path": without_dropout}
    alone = ranked("alone", **values)
    assert alone.finish(ranks=1).result == "finished"

    first, second = hosts((1, 2), **values)
    second.start()
    first.start()
    first.run.reach(6)
    # Whichever host hears of it: all ranks stop at the same step.
    second.attempt.request_stop()
    stopped = [first.ended(), second.ended()]
    assert {outcome.result for outcome in stopped} == {"stopped"}
    (step,) = {outcome.step for outcome in stopped}
    assert 6 <= step < 11
    assert "ranks: h2 (node 1 of 2) is there" in first.log
    assert first.run.metrics()[0]["loss"] == second.run.metrics()[0]["loss"]
    for host, own in ((first, ["rng_state_0.pth"]), (second, ["rng_state_1.pth", "rng_state_2.pth"])):
        folder = host.run.checkpoints()[-1].path
        assert (read_manifest(folder).step, read_manifest(folder).world_size) == (step, 3)
        assert sorted(path.name for path in folder.glob("rng_state_*")) == own
        assert (folder / "model.safetensors").exists()
        assert (folder / "optimizer.pt").exists()

    # The newest of one host is lost, as when its disk was full: all go back to what all have.
    (second.run.checkpoints()[-1].path / "manifest.json").unlink()
    common = second.run.checkpoints()[-1].step
    assert common < step
    first.resume()
    second.resume()
    assert [first.ended().result, second.ended().result] == ["finished", "finished"]
    for host in (first, second):
        assert f"resumed from step {common}" in host.log
        points = {point["step"]: point for point in host.run.metrics() if "loss" in point}
        straight = {point["step"]: point for point in alone.metrics() if "loss" in point}
        assert set(points) == set(straight)
        assert all(points[at]["loss"] == pytest.approx(straight[at]["loss"], rel=1e-5) for at in straight)
        assert all(points[at]["tokens"] == straight[at]["tokens"] for at in straight)
    weights = [(host.run.output_dir / "model.safetensors").read_bytes() for host in (first, second)]
    assert weights[0] == weights[1]


LONG = {"max_steps": 100000, "save_steps": 100000, "logging_steps": 1, "eval_strategy": "no", "val_size": 0}


def test_what_ended_one_host_is_said_on_all(hosts):
    first, second = hosts((1, 1), **LONG)
    for host in (first, second):
        host.start()
    first.run.reach(2)
    (rank,) = second.run.rank_pids()
    pids = [rank, *first.run.rank_pids()]
    os.kill(rank, signal.SIGKILL)
    for host in (first, second):
        outcome = host.ended()
        assert (outcome.result, outcome.kind) == ("failed", "signal")
        assert outcome.message.startswith("Rank 1 of 2 on h2")
        assert "SIGKILL" in outcome.message
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)

    first.start()
    second.start()
    first.run.reach(2)
    (rank,) = second.run.rank_pids()
    os.kill(second.run.pid, signal.SIGKILL)
    outcome = first.ended()
    assert (outcome.result, outcome.kind) == ("failed", "node_lost")
    assert outcome.message.startswith("h2 (node 1 of 2)")
    # What is left on the other host ends by itself, since it has nobody to train with.
    second.run.wait_for(lambda: not _is_alive(rank), "the end of the orphan")
    assert second.run.wait() == -signal.SIGKILL


def _is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_hosts_that_see_the_same_folders_write_them_once(ranked, hosts, tmp_path):
    values = LONG | {"max_steps": 3, "save_steps": 2, "output_dir": str(tmp_path / "output")}
    first, second = hosts((1, 1), shared=True, **values)
    # One folder with two names, as a file system that all hosts mount.
    shutil.rmtree(second.run.run.path)
    second.run.run.path.symlink_to(first.run.run.path)
    first.start()
    second.attempt = first.attempt
    second.run.pid = second.run.launch(first.attempt, ranks_argv(second.place))
    assert first.ended().result == "finished"
    assert second.run.wait() == 0
    (newest, *_) = reversed(list_checkpoints(tmp_path / "output"))
    names = sorted(path.name for path in newest.path.glob("rng_state_*"))
    assert (newest.complete, names) == (True, ["rng_state_0.pth", "rng_state_1.pth"])
    points = [point["step"] for point in first.run.metrics() if "loss" in point]
    assert points == [1, 2, 3]
