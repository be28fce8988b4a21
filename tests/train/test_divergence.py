"""When training has diverged, and when a loss is only high."""

import math

import pytest
import torch

from fttui_engine.train.loop.divergence import DivergenceWatch, has_finite_weights


def watch(*, is_fp16: bool = False, can_explode: bool = True, usual: float = 0.5) -> DivergenceWatch:
    made = DivergenceWatch(is_fp16=is_fp16, can_explode=can_explode)
    made.recall([usual] * 30)
    return made


def verdicts(made: DivergenceWatch, losses: list[float], every: int = 1) -> list[str]:
    return [made.verdict(step * every, loss, 1.0) for step, loss in enumerate(losses, start=1)]


def test_an_explosion_is_said_after_some_points_and_with_what_was_usual() -> None:
    said = verdicts(watch(), [0.5] * 10 + [9.0] * 30)
    assert not any(said[:30])
    assert said[30] == "the loss exploded: 9 at step 31, and as high since step 11, where 0.5 was usual"
    assert verdicts(watch(), [9.0] * 5, every=10)[-1], "with one point per 10 steps, five of them"


HARMLESS = [
    [0.5, 9.0, 0.5] * 20,  # a hard batch now and then
    [2.4] * 60,  # worse, but not by more than a hard batch
    [0.01, 0.4] * 30,
]


@pytest.mark.parametrize("losses", HARMLESS)
def test_a_high_loss_is_no_explosion(losses: list[float]) -> None:
    assert not any(verdicts(watch(), losses))


def test_where_nothing_is_usual_yet_nothing_explodes() -> None:
    made = DivergenceWatch(is_fp16=False, can_explode=True)
    assert not any(verdicts(made, [1.0] * 2 + [50.0] * 7))
    assert not any(verdicts(watch(can_explode=False), [500.0] * 60)), "stage ppo"


def test_what_is_no_number_is_said_at_once() -> None:
    assert watch().verdict(7, math.nan, 1.0) == "the loss became nan at step 7"
    assert watch(can_explode=False).verdict(7, math.inf, None)
    assert watch().verdict(7, 0.5, math.inf) == "the gradients became inf at step 7"
    fp16 = watch(is_fp16=True)
    assert not any(fp16.verdict(step, 0.5, math.inf) for step in range(16)), "how its scaler finds its scale"
    assert any(fp16.verdict(step, 0.5, math.inf) for step in range(16, 40))


def test_under_suspicion_no_checkpoint_is_made() -> None:
    made = watch()
    assert not made.suspects(0.6)
    assert made.suspects(9.0), "also between two logged points"
    made.verdict(1, 9.0, 1.0)
    assert made.suspects(0.6)
    made.verdict(2, 0.6, 1.0)
    assert not made.suspects(0.6)


@pytest.mark.parametrize(
    ("value", "is_fine"), [(1.0, True), (3e38, True), (math.nan, False), (-math.inf, False)]
)
def test_weights_that_are_no_numbers_are_seen_wherever_they_are(value: float, is_fine: bool) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3).to(torch.bfloat16))
    with torch.no_grad():
        model[1].bias[2] = value
    assert has_finite_weights(model) is is_fine
    model[1].requires_grad_(False)
    assert has_finite_weights(model), "what is not trained was so from the beginning"


def test_an_explosion_ends_a_run_before_its_good_checkpoints_are_pruned(worker) -> None:
    # The rate rises from 0 to 8 within 120 steps: it learns for the first ten, and unlearns soon after.
    run = worker(
        finetuning_type="full",
        max_steps=120,
        learning_rate=8.0,
        warmup_steps=120,
        per_device_train_batch_size=2,
        max_samples=24,
        cutoff_len=32,
        save_steps=5,
        save_total_limit=2,
    )
    outcome = run.finish()
    assert (outcome.result, outcome.kind) == ("failed", "diverged")
    assert "exploded" in outcome.message
    assert "learning_rate from 8" in outcome.advice
    saved = [checkpoint.step for checkpoint in run.checkpoints()]
    losses = {point["step"]: point["loss"] for point in run.metrics()}
    first = next(step for step, loss in losses.items() if loss > 3 * losses[1])
    assert saved
    assert max(saved) < outcome.step - 15, "none from within the explosion"
    assert min(saved) <= first
