"""Each preference loss against the formula of its paper, in plain Python on made-up numbers."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.stages.preference_losses import answer_logps, bco_losses, judged_losses, pair_losses

BETA = 0.3
CHOSEN, REJECTED = [-11.0, -7.5, -2.0], [-9.0, -8.0, -6.5]
REFERENCE_CHOSEN, REFERENCE_REJECTED = [-12.5, -7.0, -3.0], [-8.0, -8.5, -5.0]


def config(**values: Any) -> TrainingConfig:
    return TrainingConfig(**{"model_name_or_path": "m", "dataset": ("d",), "pref_beta": BETA} | values)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def drift(ours: list[float], theirs: list[float]) -> float:
    return max(0.0, sum(a - b for a, b in zip(ours, theirs, strict=True)) / len(ours))


def advantage(pair: int) -> float:
    """How much further the better answer has left the reference than the worse one."""
    return (CHOSEN[pair] - REFERENCE_CHOSEN[pair]) - (REJECTED[pair] - REFERENCE_REJECTED[pair])


FORMULAS = {
    "sigmoid": lambda i: -math.log(sigmoid(BETA * advantage(i))),
    "hinge": lambda i: max(0.0, 1 - BETA * advantage(i)),
    "ipo": lambda i: (advantage(i) - 1 / (2 * BETA)) ** 2,
    "kto_pair": lambda i: (
        (
            2
            - sigmoid(BETA * (CHOSEN[i] - REFERENCE_CHOSEN[i] - drift(REJECTED, REFERENCE_REJECTED)))
            - sigmoid(BETA * (drift(CHOSEN, REFERENCE_CHOSEN) - REJECTED[i] + REFERENCE_REJECTED[i]))
        )
        / 2
    ),
}


@pytest.mark.parametrize("name", list(FORMULAS))
def test_losses_that_compare_with_a_reference(name: str) -> None:
    numbers = map(torch.tensor, (CHOSEN, REJECTED, REFERENCE_CHOSEN, REFERENCE_REJECTED))
    chosen, rejected, *reference = numbers
    found = pair_losses(config(pref_loss=name), chosen, rejected, tuple(reference))
    assert found.losses.tolist() == pytest.approx([FORMULAS[name](i) for i in range(3)], abs=1e-5)
    assert found.chosen_rewards.tolist() == pytest.approx([0.45, -0.15, 0.3], abs=1e-5)
    assert found.rejected_rewards.tolist() == pytest.approx([-0.3, 0.15, -0.45], abs=1e-5)


def test_label_smoothing_expects_some_pairs_to_be_the_wrong_way_round() -> None:
    numbers = map(torch.tensor, (CHOSEN, REJECTED, REFERENCE_CHOSEN, REFERENCE_REJECTED))
    chosen, rejected, *reference = numbers
    losses = pair_losses(config(dpo_label_smoothing=0.2), chosen, rejected, tuple(reference)).losses
    expected = [
        -0.8 * math.log(sigmoid(BETA * advantage(i))) - 0.2 * math.log(sigmoid(-BETA * advantage(i)))
        for i in range(3)
    ]
    assert losses.tolist() == pytest.approx(expected, abs=1e-5)


def test_orpo_and_simpo_need_no_reference() -> None:
    chosen, rejected = torch.tensor([-0.4, -1.5]), torch.tensor([-0.9, -1.0])
    orpo = pair_losses(config(pref_loss="orpo"), chosen, rejected, None)

    def odds(logp: float) -> float:
        return math.exp(logp) / (1 - math.exp(logp))

    expected = [
        -c - BETA * math.log(sigmoid(math.log(odds(c) / odds(r)))) for c, r in ((-0.4, -0.9), (-1.5, -1.0))
    ]
    assert orpo.losses.tolist() == pytest.approx(expected, abs=1e-5)
    assert orpo.chosen_rewards.tolist() == pytest.approx([BETA * -0.4, BETA * -1.5])

    simpo = pair_losses(config(pref_loss="simpo", simpo_gamma=0.7), chosen, rejected, None)
    expected = [-math.log(sigmoid(BETA * (c - r) - 0.7)) for c, r in ((-0.4, -0.9), (-1.5, -1.0))]
    assert simpo.losses.tolist() == pytest.approx(expected, abs=1e-5)


def test_bco_measures_both_answers_from_one_baseline() -> None:
    losses = bco_losses((torch.tensor([0.5, -1.0]), torch.tensor([0.2, 0.4])), 0.1)
    expected = [
        -math.log(sigmoid(0.5 - 0.1)) - math.log(sigmoid(0.1 - 0.2)),
        -math.log(sigmoid(-1.0 - 0.1)) - math.log(sigmoid(0.1 - 0.4)),
    ]
    assert losses.tolist() == pytest.approx(expected, abs=1e-5)


def test_kto_weighs_good_and_bad_answers() -> None:
    settings = config(kto_chosen_weight=2.0, kto_rejected_weight=0.5)
    ratios, is_good = torch.tensor([1.5, -0.5]), torch.tensor([True, False])
    losses = judged_losses(settings, ratios, is_good, torch.tensor(0.25))
    expected = [2.0 * (1 - sigmoid(BETA * (1.5 - 0.25))), 0.5 * (1 - sigmoid(BETA * (0.25 + 0.5)))]
    assert losses.tolist() == pytest.approx(expected, abs=1e-6)


class TestLogProbabilities:
    # Two rows that are a pair: an answer of three tokens, and one of one, after a prompt of two and of one.
    labels = torch.tensor([[-100, -100, 1, 2, 0], [-100, 2, -100, -100, -100]])
    logits = torch.tensor(
        [
            [[0.1, 0.2, 0.3], [0.5, 1.5, -1.0], [2.0, 0.0, 1.0], [0.3, 0.3, 0.9], [9.0, 9.0, 9.0]],
            [[1.0, 2.0, 4.0], [7.0, 7.0, 7.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
        ]
    )

    def plain(self, row: int, position: int) -> float:
        """The log-probability of the label at a position, predicted one position before."""
        scores = self.logits[row, position - 1].tolist()
        return math.log(math.exp(scores[self.labels[row, position]]) / sum(math.exp(each) for each in scores))

    def test_only_answers_count(self) -> None:
        found = answer_logps(self.logits, self.labels)
        first = self.plain(0, 2) + self.plain(0, 3) + self.plain(0, 4)
        assert found.total.tolist() == pytest.approx([first, self.plain(1, 1)], abs=1e-5)
        assert found.length.tolist() == [3, 1]
        assert found.mean.tolist() == pytest.approx([first / 3, self.plain(1, 1)], abs=1e-5)

    def test_ld_alpha_weighs_what_is_beyond_the_shorter_answer(self) -> None:
        found = answer_logps(self.logits, self.labels, ld_alpha=0.25)
        first = self.plain(0, 2) + 0.25 * (self.plain(0, 3) + self.plain(0, 4))
        assert found.total.tolist() == pytest.approx([first, self.plain(1, 1)], abs=1e-5)

    def test_a_filler_without_labels_changes_nothing(self) -> None:
        logits = self.logits.clone().requires_grad_()
        found = answer_logps(logits, torch.full_like(self.labels, -100))
        assert found.total.tolist() == [0.0, 0.0]
        # Of a mean of 0, orpo's odds would be infinite.
        assert found.mean.tolist() == [-1.0, -1.0]
        found.mean.sum().backward()
        assert logits.grad is not None
        assert logits.grad.abs().sum() == 0


def test_dropout_is_off_in_the_layers_and_in_attention() -> None:
    from fttui_engine.train.stages.preference_trainer import switch_off_dropout

    attention = torch.nn.Module()
    attention.attention_dropout = 0.1
    model = torch.nn.Sequential(torch.nn.Dropout(0.5), attention)
    switch_off_dropout(SimpleNamespace(modules=model.modules))
    assert (model[0].p, attention.attention_dropout) == (0.0, 0.0)
