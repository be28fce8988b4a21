"""Two ranks train what one process would, and a run of several ranks that was stopped is the straight run, bit by bit."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fttui_engine
from conftest import PATIENCE_SECONDS, Worker
from fttui_engine.runs.attempt import Launch, Request
from fttui_engine.runs.checkpoints import read_manifest

COMMON = {
    "max_steps": 14,
    "save_steps": 5,
    "logging_steps": 3,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    # 39 examples are 4 steps of 8 and one of 7, in which one rank has a batch that is not full.
    "max_samples": 44,
    "val_size": 5,
    "eval_strategy": "steps",
    "eval_steps": 4,
    "per_device_eval_batch_size": 2,
    "learning_rate": 3e-3,
    "lr_scheduler_type": "cosine",
    "run": {"processes": 2},
}
EXACT = ("step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "eval_loss", "eval_perplexity")


class Server:
    """A process that has imported everything and forks the ranks of each attempt."""

    def __init__(self):
        program = Path(__file__).with_name("rank_server.py")
        environment = os.environ | {"PYTHONPATH": str(Path(fttui_engine.__file__).parents[1])}
        self._process = subprocess.Popen(
            [sys.executable, str(program)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait(PATIENCE_SECONDS)
        self._process.stdout.close()


class RankedRun(Worker):
    """A run whose attempts have any number of ranks."""

    server: Server

    def start(self, resume_from=None, ranks=2):
        attempt = self.run.attempt(self.run.latest_attempt_number() + 1)
        attempt.create(Request("newest" if resume_from else "scratch"))
        step = int(resume_from.name.rpartition("-")[2]) if resume_from else None
        folder = str(resume_from) if resume_from else None
        attempt.write_launch(Launch(["worker"], {}, str(self.run.path), folder, step))
        environment = {
            "FTTUI_HOME": str(self._home),
            "FTTUI_RUN": self.run.id,
            "FTTUI_RUN_DIR": str(self.run.path),
            "FTTUI_ATTEMPT": str(attempt.number),
        }
        self.pid = self.server.ask(environment=environment, ranks=ranks)["pid"]
        return attempt

    def wait(self):
        code = self.server.ask(wait=self.pid)["code"]
        self.pid = None
        return code

    def wait_for(self, condition, what):
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self.run.attempts()[-1].read_outcome() is None, f"the run ended before {what}"
            assert time.monotonic() < end, f"waited in vain for {what}"
            time.sleep(0.005)

    def rank_pids(self):
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def finish(self, resume_from=None, ranks=2):
        return self.ended(self.start(resume_from, ranks))

    def copy(self, name):
        """Return a run with this one's checkpoints and metrics, to go on in another way."""
        values = {key: value for key, value in self.values.items() if key != "output_dir"}
        other = RankedRun(self.run.path.with_name(name), self._home, values)
        shutil.copytree(self.output_dir, other.output_dir)
        shutil.copyfile(self.run.metrics_path, other.run.metrics_path)
        return other

    def close(self):
        if getattr(self, "pid", None):
            os.kill(self.pid, signal.SIGTERM)
            self.wait()


@pytest.fixture(scope="module")
def ranked(home, tiny_model, tmp_path_factory):
    """Makes runs; all of their ranks come from one server."""
    folder = tmp_path_factory.mktemp("ranks")
    runs = []
    RankedRun.server = Server()

    def make(name, **values):
        runs.append(RankedRun(folder / name, home, COMMON | values))
        return runs[-1]

    yield make
    for run in runs:
        run.close()
    RankedRun.server.close()


@pytest.fixture(scope="module")
def without_dropout(tiny_model, tmp_path_factory):
    """The tiny model without dropout: what it learns does not depend on how the batch is shared."""
    folder = tmp_path_factory.mktemp("model") / "plain"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.0}))
    return str(folder)


def numbers(run):
    return [tuple(point.get(name) for name in EXACT) for point in run.metrics()]


def weights(run):
    files = sorted(run.output_dir.glob("*.safetensors"))
    assert len(files) == 1
    return hashlib.sha256(files[0].read_bytes()).hexdigest()


def tensors(run):
    from safetensors.torch import load_file

    return load_file(next(run.output_dir.glob("*.safetensors")))


def assert_same_training(one, other):
    """The same steps, the same tokens, and losses that differ by rounding only."""
    first, second = one.metrics(), other.metrics()
    assert [(p["step"], p["epoch"], p.get("tokens")) for p in first] == [
        (p["step"], p["epoch"], p.get("tokens")) for p in second
    ]
    for point, its_twin in zip(first, second, strict=True):
        for name, tolerance in (("loss", 1e-6), ("eval_loss", 1e-6), ("grad_norm", 1e-4)):
            if name in its_twin:
                assert point[name] == pytest.approx(its_twin[name], rel=tolerance), (name, point, its_twin)


CELLS = {
    "ddp-lora": {"lora_dropout": 0.1},
    "ddp-full": {"finetuning_type": "full", "dataloader_num_workers": 1},
    "fsdp-full": {"finetuning_type": "full", "run": {"processes": 2, "strategy": "fsdp"}},
    "fsdp-lora": {"lora_dropout": 0.1, "fsdp": "shard_grad_op", "gradient_checkpointing": True},
    "fsdp-qlora": {
        "lora_dropout": 0.1,
        "quantization_bit": 4,
        "bf16": True,
        "run": {"processes": 2, "strategy": "fsdp"},
    },
}


@pytest.mark.parametrize("cell", CELLS)
def test_two_ranks_stopped_and_resumed_equal_a_straight_run(ranked, cell):
    straight, broken = ranked(f"{cell}-straight", **CELLS[cell]), ranked(f"{cell}-broken", **CELLS[cell])
    first = broken.start()
    broken.reach(6)
    # Any rank may be the one that hears of it; from the launcher it reaches all, but not their data loaders.
    os.kill(broken.pid if cell == "ddp-full" else broken.rank_pids()[1], signal.SIGTERM)
    stopped = broken.ended(first)
    assert stopped.result == "stopped"
    assert 6 <= stopped.step < 14
    newest = broken.checkpoints()[-1]
    assert (newest.step, read_manifest(newest.path).world_size) == (stopped.step, 2)
    assert broken.finish(newest.path).result == "finished"

    assert straight.finish().result == "finished"
    log = straight.run.attempt(1).log_path.read_text()
    assert f"2 processes share the work by {cell.partition('-')[0]}" in log
    assert "8 per step (2 x 2 x 2 processes)" in log
    assert [row[0] for row in numbers(straight) if row[2] is not None] == [3, 6, 9, 12, 14]
    assert numbers(broken) == numbers(straight)
    assert weights(broken) == weights(straight)


def assert_writes_its_result_again(run):
    """All steps were done, and only the end of the last attempt was cut off."""
    (result,) = run.output_dir.glob("*.safetensors")
    before = result.read_bytes()
    result.unlink()
    assert run.finish(run.checkpoints()[-1].path).result == "finished"
    assert result.read_bytes() == before


@pytest.mark.parametrize(
    ("strategy", "kind"),
    [
        ("ddp", {}),
        ("fsdp", {"finetuning_type": "full", "learning_rate": 5e-4}),
        ("fsdp", {"quantization_bit": 4}),
        ("fsdp", {"finetuning_type": "full", "learning_rate": 5e-4, "packing": True, "chunked_loss": "true"}),
    ],
    ids=["ddp", "fsdp", "fsdp-qlora", "fsdp-packed-chunked"],
)
def test_any_number_of_ranks_trains_and_goes_on_as_one_process(ranked, without_dropout, strategy, kind):
    values = {"model_name_or_path": without_dropout, "run": {"processes": 2, "strategy": strategy}} | kind
    name = f"{strategy}-{'-'.join(kind) or 'lora'}"
    alone = ranked(f"{name}-alone", **values)
    assert alone.finish(ranks=1).result == "finished"
    assert "8 per step (2 x 4)" in alone.run.attempt(1).log_path.read_text()

    more = alone.copy(f"{name}-more")
    assert more.finish(more.output_dir / "checkpoint-5").result == "finished"
    assert_same_training(more, alone)

    together = ranked(f"{name}-together", **values)
    first = together.start()
    together.reach(6)
    first.request_stop()
    stopped = together.ended(first)
    assert stopped.result == "stopped"
    newest = together.checkpoints()[-1].path
    fewer = together.copy(f"{name}-fewer")
    assert fewer.finish(fewer.output_dir / newest.name, ranks=1).result == "finished"
    assert_same_training(fewer, alone)
    assert together.finish(newest).result == "finished"
    assert_same_training(together, alone)
    if strategy == "fsdp":
        assert_writes_its_result_again(together)
    expected = tensors(alone)
    for name, found in tensors(together).items():
        assert found.shape == expected[name].shape
        assert (found - expected[name]).abs().max() < 1e-5, name
    assert set(tensors(together)) == set(expected)


def test_the_rank_that_failed_first_is_named(ranked):
    run = ranked(
        "failing", max_steps=100000, save_steps=100000, logging_steps=1, eval_strategy="no", val_size=0
    )
    attempt = run.start()
    run.reach(2)
    pids = run.rank_pids()
    os.kill(pids[0], signal.SIGKILL)
    outcome = run.ended(attempt)
    assert (outcome.result, outcome.kind) == ("failed", "signal")
    assert "Rank 0 of 2" in outcome.message
    assert "SIGKILL" in outcome.message
    assert outcome.step >= 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    # What rank 1 says of its lost peer is in the log, marked as its own, and is not taken for the cause.
    assert "[rank1]: Traceback" in attempt.log_path.read_text()


def test_a_mistake_that_every_rank_makes_is_told_once(ranked):
    run = ranked("mistaken", lora_target=["no_such_layer"])
    outcome = run.finish()
    assert (outcome.result, outcome.kind) == ("failed", "model")
    assert "no_such_layer" in outcome.message
    assert outcome.advice
