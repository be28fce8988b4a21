"""Evaluation during training: what is measured, what follows from it, and that a resume decides the same."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fttui_engine.train.errors import EvaluationError
from fttui_engine.train.loop.token_metrics import TokenMetrics, find_metric_function
from fttui_engine.train.loop.trackers import BackgroundTracker

# The rate is far too high, so that the evaluations get worse after a few steps.
SPOILT = {
    "max_steps": 40, "learning_rate": 0.08, "lr_scheduler_type": "constant", "lora_dropout": 0.1,
    "per_device_train_batch_size": 2, "per_device_eval_batch_size": 4, "val_size": 10, "save_steps": 3,
    "save_total_limit": 2, "eval_strategy": "steps", "eval_steps": 2, "early_stopping_steps": 3,
    "load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": False,
    "compute_accuracy": True, "eval_on_start": True,
}  # fmt: skip
OWN_METRIC = """
def score(together):
    learned = together.label_ids[:, 1:] != -100
    right = (together.predictions[:, :-1] == together.label_ids[:, 1:]) & learned
    return {"own_accuracy": right.sum() / learned.sum()}
"""


def evaluations(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    timeless = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "time", "attempt")
    return [
        {name: value for name, value in point.items() if name not in timeless}
        for point in metrics
        if "eval_loss" in point
    ]


def test_the_best_is_kept_and_a_resumed_run_ends_early_at_the_same_step(
    worker: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN_METRIC)
    values = {**SPOILT, "compute_metrics": f"{tmp_path}/own.py:score"}
    straight = worker("straight", **values)
    outcome = straight.finish()
    points = evaluations(straight.metrics())
    best = min(points[1:], key=lambda point: point["eval_loss"])["step"]
    assert [point["step"] for point in points] == list(range(0, best + 7, 2)), (
        "three evaluations without gain"
    )
    assert (outcome.result, outcome.step) == ("finished", best + 6)
    assert "Ended early" in outcome.message
    assert f"step {best}" in outcome.message
    assert all(point["eval_accuracy"] == pytest.approx(point["eval_own_accuracy"]) for point in points)
    assert max(point["eval_accuracy"] for point in points) > points[0]["eval_accuracy"]

    assert best in [checkpoint.step for checkpoint in straight.checkpoints()], "the best is never pruned"
    result = (straight.output_dir / "adapter_model.safetensors").read_bytes()
    assert result == (straight.output_dir / f"checkpoint-{best}" / "adapter_model.safetensors").read_bytes()

    resumed = worker("resumed", **values)
    resumed.start()
    # Between the best and the end: the count of evaluations without gain has to come out of the checkpoint.
    resumed.reach(best + 3)
    resumed.kill()
    resumed.wait()
    newest = resumed.checkpoints()[-1]
    outcome_again = resumed.finish(newest.path)
    assert (outcome_again.result, outcome_again.step) == ("finished", outcome.step)
    assert evaluations(resumed.metrics()) == points
    assert (resumed.output_dir / "adapter_model.safetensors").read_bytes() == result
    # All was done and only its end was cut off: the same answer again, and no step beyond it.
    assert resumed.finish(resumed.checkpoints()[-1].path).step == outcome.step
    assert load_file(resumed.output_dir / "adapter_model.safetensors").keys()
    assert (resumed.output_dir / "adapter_model.safetensors").read_bytes() == result


def test_accuracy_counts_learned_tokens_only() -> None:
    logits = torch.zeros(2, 4, 5)
    # At each place the next token is foretold: 1 2 3, and 4 4 4.
    for row, foretold in enumerate(([1, 2, 3, 0], [4, 4, 4, 0])):
        for place, token in enumerate(foretold):
            logits[row, place, token] = 1.0
    labels = torch.tensor([[-100, -100, 2, 3], [-100, 4, 0, -100]])
    metrics = TokenMetrics(accuracy=True, function=None)
    metrics.start()
    metrics.add(logits, labels)
    assert metrics.result("eval") == {"eval_accuracy": 3 / 4}
    metrics.start()
    metrics.add(logits[:1], labels[:1])
    assert metrics.result("eval") == {"eval_accuracy": 1.0}, "the last evaluation is forgotten"


def test_an_own_function_sees_every_example_once_and_no_filler() -> None:
    seen: list[Any] = []

    def own(together: Any) -> dict[str, float]:
        seen.append(together)
        return {"rows": len(together.label_ids), "eval_named": 1.0}

    metrics = TokenMetrics(accuracy=False, function=own)
    metrics.start()
    metrics.add(torch.eye(4).expand(2, 4, 4), torch.tensor([[-100, 1, 2, 3], [-100, -100, -100, -100]]))
    metrics.add(torch.eye(4)[:3].expand(1, 3, 4), torch.tensor([[-100, 5, 6]]))
    assert metrics.result("eval") == {"eval_rows": 2.0, "eval_named": 1.0}
    assert seen[0].label_ids.tolist() == [[-100, 1, 2, 3], [-100, 5, 6, -100]]
    assert seen[0].predictions.tolist() == [[0, 1, 2, 3], [0, 1, 2, -100]]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module_of_mine.score", "No module named"),
        ("{folder}/broken.py:score", "ZeroDivisionError"),
        ("{folder}/own.py:scroe", "scroe"),
        ("{folder}/own.py:constant", "no function"),
    ],
)
def test_a_metric_function_that_cannot_be_had_is_said_in_words(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "own.py").write_text(OWN_METRIC + "\nconstant = 3\n")
    with pytest.raises(EvaluationError) as raised:
        find_metric_function(name.format(folder=tmp_path))
    assert words in raised.value.message


class Tracker:
    """Stands where transformers' callback of a tracker stands."""

    def __init__(self, on_log: Callable[[Any, Any], None]) -> None:
        self.points: list[Any] = []
        self._on_log = on_log

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        pass

    def on_log(self, args: Any, state: Any, control: Any, logs: Any) -> None:
        self._on_log(state, logs)
        self.points.append((state.global_step, logs))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.points.append("end")


def run_with(tracker: Callable[[], Any], log: list[str]) -> BackgroundTracker:
    from transformers import TrainerControl, TrainerState

    background = BackgroundTracker("tracker", tracker, log.append)
    state = TrainerState()
    background.on_train_begin(None, state, TrainerControl())
    for step in range(3):
        state.global_step = step
        background.on_log(None, state, TrainerControl(), logs={"loss": float(step)})
    return background


def test_a_tracker_gets_every_point_as_it_was_when_logged() -> None:
    log: list[str] = []
    tracker = Tracker(lambda state, logs: None)
    background = run_with(lambda: tracker, log)
    background.on_train_end(None, None, None)
    assert tracker.points == [(0, {"loss": 0.0}), (1, {"loss": 1.0}), (2, {"loss": 2.0}), "end"]
    assert log == []


def test_a_tracker_that_fails_or_hangs_does_not_touch_the_run() -> None:
    log: list[str] = []

    def fail(state: Any, logs: Any) -> None:
        raise ConnectionError("no route to host")

    run_with(lambda: Tracker(fail), log).close()
    assert len(log) == 1
    assert "no route to host" in log[0]

    release = threading.Event()
    hanging = run_with(lambda: Tracker(lambda state, logs: release.wait(60) and None), log)
    # Nobody waited: the three points lie in the queue while the first one hangs.
    release.set()
    hanging.close()
    assert len(log) == 1
