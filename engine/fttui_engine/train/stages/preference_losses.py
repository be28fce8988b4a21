"""The losses of the preference stages, on log-probabilities of whole answers; formulas as in LLaMA-Factory and trl."""

from typing import NamedTuple

import torch
from torch.nn.functional import logsigmoid

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.tokenise import IGNORED_LABEL

MEAN_PER_TOKEN = ("ipo", "orpo", "simpo")
"""Losses that compare answers by their mean log-probability per token, whatever their length."""
WITHOUT_REFERENCE = ("orpo", "simpo")
"""Losses that compare with no reference model."""


class AnswerLogps(NamedTuple):
    """Log-probabilities of answers, one number per example."""

    total: torch.Tensor
    length: torch.Tensor
    """The number of tokens."""

    @property
    def mean(self) -> torch.Tensor:
        """The mean per token; -1 for an example without any, such as a filler.

        Not 0: the odds of orpo would be infinite there, and all gradients not a number.
        """
        return torch.where(self.length > 0, self.total / self.length.clamp(min=1), -1.0)


def answer_logps(logits: torch.Tensor, labels: torch.Tensor, *, ld_alpha: float | None = None) -> AnswerLogps:
    """Return the log-probabilities of the labels.

    With ``ld_alpha`` the rows are pairs, all better ones first, and of the longer answer of a pair, what goes beyond
    the shorter one counts only so much (LD-DPO).
    """
    labels = labels[:, 1:]
    learned = labels != IGNORED_LABEL
    indices = labels.masked_fill(~learned, 0).unsqueeze(-1)
    # Row by row: in float32, and with the gradient of softmax, logits take several times the memory of the model's own.
    per_token = torch.cat(
        [
            row[None, :-1].float().log_softmax(-1).gather(-1, index[None]).squeeze(-1)
            for row, index in zip(logits, indices, strict=True)
        ]
    )
    length = learned.sum(-1)
    weights = learned.to(per_token.dtype)
    if ld_alpha is not None:
        shorter = length.view(2, -1).min(0).values.repeat(2)
        is_common = learned.cumsum(-1) <= shorter.unsqueeze(-1)
        weights = weights * torch.where(is_common, 1.0, ld_alpha)
    return AnswerLogps((per_token * weights).sum(-1), length)


class PairLosses(NamedTuple):
    """One number per pair."""

    losses: torch.Tensor
    chosen_rewards: torch.Tensor
    rejected_rewards: torch.Tensor


def pair_losses(
    config: TrainingConfig,
    chosen: torch.Tensor,
    rejected: torch.Tensor,
    reference: tuple[torch.Tensor, torch.Tensor] | None,
    real: torch.Tensor | None = None,
) -> PairLosses:
    """Return the loss of stage dpo and the rewards, which are implied by how far the model left its reference.

    Pairs that are not ``real`` change nothing for the others.
    """
    beta = config.pref_beta
    if reference is None:
        losses = (
            _orpo(chosen, rejected, beta) if config.pref_loss == "orpo" else _simpo(chosen, rejected, config)
        )
        return PairLosses(losses, beta * chosen.detach(), beta * rejected.detach())
    reference_chosen, reference_rejected = reference
    logits = (chosen - rejected) - (reference_chosen - reference_rejected)
    match config.pref_loss:
        case "sigmoid":
            smoothing = config.dpo_label_smoothing
            losses = -logsigmoid(beta * logits) * (1 - smoothing) - logsigmoid(-beta * logits) * smoothing
        case "hinge":
            losses = torch.relu(1 - beta * logits)
        case "ipo":
            losses = (logits - 1 / (2 * beta)) ** 2
        case _:
            losses = _kto_pair(chosen - reference_chosen, rejected - reference_rejected, beta, real)
    return PairLosses(
        losses,
        beta * (chosen - reference_chosen).detach(),
        beta * (rejected - reference_rejected).detach(),
    )


def _orpo(chosen: torch.Tensor, rejected: torch.Tensor, beta: float) -> torch.Tensor:
    """Learn the better answer, and raise its odds above the worse one's."""
    log_odds = (chosen - rejected) - (torch.log1p(-torch.exp(chosen)) - torch.log1p(-torch.exp(rejected)))
    return -chosen - beta * logsigmoid(log_odds)


def _simpo(chosen: torch.Tensor, rejected: torch.Tensor, config: TrainingConfig) -> torch.Tensor:
    return -logsigmoid(config.pref_beta * (chosen - rejected) - config.simpo_gamma)


def _kto_pair(
    chosen_ratios: torch.Tensor, rejected_ratios: torch.Tensor, beta: float, real: torch.Tensor | None
) -> torch.Tensor:
    """Push each answer away from the mean drift of the other kind in this batch, which itself is not learned from."""
    count = len(chosen_ratios) if real is None else real.sum().clamp(min=1)
    # The ratio of a filler is 0.
    chosen_drift = (chosen_ratios.detach().sum() / count).clamp(min=0)
    rejected_drift = (rejected_ratios.detach().sum() / count).clamp(min=0)
    chosen_losses = 1 - torch.sigmoid(beta * (chosen_ratios - rejected_drift))
    rejected_losses = 1 - torch.sigmoid(beta * (chosen_drift - rejected_ratios))
    return (chosen_losses + rejected_losses) / 2


def bco_losses(rewards: tuple[torch.Tensor, torch.Tensor], baseline: float) -> torch.Tensor:
    """Return the loss of a classifier that tells better from worse answers by their distance from a mean reward."""
    chosen, rejected = rewards
    return -logsigmoid(chosen - baseline) - logsigmoid(-(rejected - baseline))


def judged_losses(
    config: TrainingConfig, ratios: torch.Tensor, is_good: torch.Tensor, drift: torch.Tensor
) -> torch.Tensor:
    """Return the loss of stage kto, per example; ``ratios`` are log-probabilities above the reference's."""
    above = config.pref_beta * (ratios - drift)
    weights = torch.where(is_good, config.kto_chosen_weight, config.kto_rejected_weight)
    return weights * (1 - torch.sigmoid(torch.where(is_good, above, -above)))
