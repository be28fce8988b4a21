"""Cross entropy whose tokens weigh differently: DFT (https://arxiv.org/abs/2508.05629) and EAFT, as LLaMA-Factory has them.

Evaluations measure the plain cross entropy, so that losses and perplexities of runs can be compared.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import cross_entropy, pad

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.tokenise import IGNORED_LABEL

# EAFT takes the entropy of the likeliest words, and divides by about what that is at most (ln 20 = 3.0).
LIKELIEST = 20
FULL_ENTROPY = 3.0

Weights = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def weighted_loss(config: TrainingConfig) -> "WeightedLoss | None":
    """Return the loss that a configuration asks for, ``None`` for the model's own."""
    if config.use_dft_loss:
        return WeightedLoss(_certainty)
    if config.use_eaft_loss:
        return WeightedLoss(lambda logits, _: _openness(logits) ** config.eaft_alpha)
    return None


class WeightedLoss:
    """What the Trainer calls in place of the model's loss; ``weights`` sees logits and losses of the learned tokens."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        """Return the loss of a batch, of which ``num_items_in_batch`` tokens are learned in the whole step."""
        following = pad(labels, (0, 1), value=IGNORED_LABEL)[..., 1:].reshape(-1).to(outputs.logits.device)
        learned = following != IGNORED_LABEL
        logits = outputs.logits.reshape(-1, outputs.logits.shape[-1])[learned].float()
        losses = cross_entropy(logits, following[learned], reduction="none")
        if num_items_in_batch is None:
            return losses.mean()
        with torch.no_grad():
            weights = self._weights(logits, losses)
        items = num_items_in_batch
        return (losses * weights).sum() / (items.to(losses.device) if torch.is_tensor(items) else items)


def _certainty(_: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
    """The probability of the right word: what the model finds absurd teaches little."""
    return torch.exp(-losses)


def _openness(logits: torch.Tensor) -> torch.Tensor:
    """The entropy among the likeliest words: where the model is sure, right or wrong, it learns little."""
    likeliest = torch.topk(logits, min(LIKELIEST, logits.shape[-1]), dim=-1).values
    logs = torch.log_softmax(likeliest, dim=-1)
    return -(logs.exp() * logs).sum(-1) / FULL_ENTROPY
