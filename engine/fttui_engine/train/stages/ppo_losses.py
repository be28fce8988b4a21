"""The arithmetic of PPO, on tensors of the shape answers x tokens; formulas and constants as in trl 0.9 and LLaMA-Factory."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

GAMMA, LAMBDA = 1.0, 0.95
"""How much later rewards count, and how far an advantage looks beyond the next value."""
CLIP = 0.2
"""How far one step may move the probability of a token, as a ratio, and a value."""
VALUE_WEIGHT = 0.1
LARGEST_RATIO = 10.0
_FIRST_KL_COEFFICIENT = 0.2
_KL_HORIZON = 10_000


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean over the tokens of answers."""
    return (values * mask).sum() / mask.sum()


def _of_one_process(total: torch.Tensor) -> torch.Tensor:
    return total


def whiten(
    values: torch.Tensor,
    mask: torch.Tensor,
    *,
    keep_mean: bool = False,
    over_ranks: Callable[[torch.Tensor], torch.Tensor] = _of_one_process,
) -> torch.Tensor:
    """Return the values with variance 1 over the tokens of answers, and with mean 0 unless it is kept.

    ``over_ranks`` adds a sum up over all processes, which learn from one set of answers together.
    """
    count = over_ranks(mask.sum())
    mean = over_ranks((values * mask).sum()) / count
    # Of a single token there is no variance; it becomes 0.
    variance = over_ranks(((values - mean) ** 2 * mask).sum()) / (count - 1).clamp(min=1)
    whitened = (values - mean) * torch.rsqrt(variance + 1e-8)
    return whitened + mean if keep_mean else whitened


def token_rewards(
    scores: torch.Tensor, kl: torch.Tensor, mask: torch.Tensor, coefficient: float
) -> torch.Tensor:
    """Return the reward of each token: the price of leaving the reference, and at the last one the answer's score."""
    rewards = -coefficient * kl * mask
    last = mask.sum(-1, keepdim=True) - 1
    return rewards.scatter_add(1, last, scores.unsqueeze(-1).to(rewards.dtype))


def advantages_and_returns(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how much better each token was than its value said (GAE), and what the values should have been."""
    rewards, values = rewards * mask, values * mask
    advantage = torch.zeros_like(values[:, 0])
    backwards = []
    for token in reversed(range(values.shape[1])):
        next_value = values[:, token + 1] if token + 1 < values.shape[1] else 0.0
        surprise = rewards[:, token] + GAMMA * next_value - values[:, token]
        advantage = surprise + GAMMA * LAMBDA * advantage
        backwards.append(advantage)
    advantages = torch.stack(backwards[::-1], 1)
    return advantages, advantages + values


class Judgement(NamedTuple):
    """What was thought of the tokens of answers before the step that learns from them."""

    logps: torch.Tensor
    values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    mask: torch.Tensor


class PolicyLoss(NamedTuple):
    """The loss of some answers, and what it is made of."""

    total: torch.Tensor
    policy: torch.Tensor
    value: torch.Tensor
    clipped: torch.Tensor
    """The share of tokens whose probability has moved as far as it may."""


def policy_loss(logps: torch.Tensor, values: torch.Tensor, before: Judgement) -> PolicyLoss:
    """Return the clipped loss of the policy and of the value head, by what they make of the answers now."""
    mask, advantages, returns = before.mask, before.advantages, before.returns
    ratio = (logps - before.logps).exp()
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - CLIP, 1 + CLIP)
    policy = masked_mean(torch.max(plain, clipped), mask)
    near_values = torch.max(torch.min(values, before.values + CLIP), before.values - CLIP)
    value = 0.5 * masked_mean(torch.max((values - returns) ** 2, (near_values - returns) ** 2), mask)
    total = policy + VALUE_WEIGHT * value
    # A policy that has left what it wrote the answers with cannot learn from them.
    total = total * (masked_mean(ratio.detach(), mask) <= LARGEST_RATIO)
    return PolicyLoss(total, policy, value, masked_mean((clipped > plain).float(), mask))


class KlCoefficient:
    """The price of leaving the reference: it rises while the model is further away than ``target``, and falls else."""

    def __init__(self, target: float) -> None:
        self._target = target
        self.value = _FIRST_KL_COEFFICIENT

    def update(self, kl: float, answers: int) -> None:
        """Move it by what one step has found; ``kl`` is the mean over answers of the sum over their tokens."""
        error = min(max(kl / self._target - 1, -0.2), 0.2)
        self.value *= 1 + error * answers / _KL_HORIZON


class ScoreScale:
    """Mean and spread of all scores so far."""

    def __init__(self) -> None:
        self.mean, self.variance, self.count = 0.0, 1.0, 1e-24

    def normalised(self, scores: torch.Tensor, of_all_ranks: torch.Tensor | None = None) -> torch.Tensor:
        """Count these scores too, or those of all processes, and return them in units of the spread around the mean."""
        counted = (scores if of_all_ranks is None else of_all_ranks).double()
        mean, count = counted.mean().item(), len(counted)
        variance = counted.var(correction=0).item()
        total, difference = self.count + count, mean - self.mean
        squares = self.variance * self.count + variance * count + difference**2 * self.count * count / total
        self.mean += difference * count / total
        self.variance, self.count = squares / total, total
        spread = math.sqrt(squares / max(total - 1, 1e-24)) if total > 1 else 1.0
        return (scores - self.mean) / (spread + torch.finfo(scores.dtype).eps)
