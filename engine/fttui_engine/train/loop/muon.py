"""Muon for the matrices of the layers, AdamW for all else, as one optimizer (https://arxiv.org/abs/2502.16982)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import AdamW, Optimizer

from fttui_engine.train.errors import ModelError


class MuonAndAdamW(Optimizer):
    """Two optimizers that a Trainer takes for one; groups of weights are shared with them, so rates reach both."""

    def __init__(self, parts: Iterable[Optimizer]) -> None:
        self._parts = tuple(parts)
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        self._share_groups()

    def _share_groups(self) -> None:
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move all weights."""
        loss = None if closure is None else closure()
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` returned."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()


def muon(model: Any, rates: Any) -> MuonAndAdamW:
    """Return LLaMA-Factory's Muon: every trained matrix but embeddings and head, at AdamW's size of steps.

    ``rates`` are transformers' arguments.
    """
    kind = getattr(torch.optim, "Muon", None)
    if kind is None:
        raise ModelError(
            f"use_muon needs torch 2.9, and this is {torch.__version__}",
            "install a newer torch, or leave use_muon out",
        )
    matrices: list[torch.Tensor] = []
    others: list[torch.Tensor] = []
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            is_matrix = weight.ndim == 2 and "embed" not in name and "lm_head" not in name
            (matrices if is_matrix else others).append(weight)
    common: dict[str, Any] = {"lr": rates.learning_rate, "weight_decay": rates.weight_decay}
    betas = (rates.adam_beta1, rates.adam_beta2)
    parts: list[Optimizer] = []
    if matrices:
        parts.append(kind(matrices, momentum=0.95, adjust_lr_fn="match_rms_adamw", **common))
    if others:
        parts.append(AdamW(others, betas=betas, eps=rates.adam_epsilon, **common))
    return MuonAndAdamW(parts)
