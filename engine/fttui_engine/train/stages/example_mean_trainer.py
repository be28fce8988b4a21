"""The Trainer of the preference stages: a mean over examples for a loss, and measures of their own beside it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from fttui_engine.train.data.tokenise import IGNORED_LABEL
from fttui_engine.train.loop.measures import Measure, Measures, mean_of
from fttui_engine.train.stages.measuring_trainer import MeasuringTrainer


class BatchLoss(NamedTuple):
    """What a stage makes of a batch."""

    losses: torch.Tensor
    """One number per example."""
    measures: Mapping[str, Measure]


class ExampleMeanTrainer(MeasuringTrainer, ABC):
    """A Trainer whose loss is the mean over examples, whatever their length, as LLaMA-Factory's.

    A step is the mean over its batches, in several processes as in one.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._weight = 1.0

    def _get_num_items_in_batch(
        self, batch_samples: list[Any], device: torch.device
    ) -> torch.Tensor | int | None:
        count = super()._get_num_items_in_batch(batch_samples, device)
        self._weight = self._weight_of(batch_samples)
        return count

    def _weight_of(self, batch_samples: list[Any]) -> float:
        """Return what a batch counts in a step where some ranks have nothing but fillers in their last one.

        Without it, the last step of an epoch of 37 examples, in batches of 2 on two ranks, would learn 3/4 of what one
        process learns.
        """
        if self.ranks.count == 1 or not self.accelerator.gradient_state.end_of_dataloader:
            return 1.0
        ours = sum(bool(is_real(inputs).any()) for inputs in batch_samples)
        real = sum(batches for (batches,) in self.ranks.gather([float(ours)]))
        return len(batch_samples) * self.ranks.count / real

    @abstractmethod
    def batch_loss(self, model: Any, inputs: dict[str, Any]) -> BatchLoss:
        """Return the losses and the measures of a batch; each stage has its own."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the mean loss of a batch and add up its measures for the next point of the curves."""
        losses, measures = self.batch_loss(model, inputs)
        self._measures.add(measures)
        # Fillers, which accelerate repeats so that all ranks have as many batches, have no labels left.
        real = is_real(inputs)
        loss = self._weight * losses.where(real, 0.0).sum() / real.sum().clamp(min=1)
        return (loss, {}) if return_outputs else loss

    def evaluation_means(self, model: Any, dataloader: Any, prefix: str) -> dict[str, float]:
        """Return the mean loss and the measures over all examples."""
        measures = Measures()
        for inputs in dataloader:
            self.stop.check()
            self.silence_filler(inputs)
            with torch.no_grad(), self.compute_loss_context_manager():
                placed = self._prepare_inputs(inputs)
                losses, measured = self.batch_loss(model, placed)
            measures.add({"loss": mean_of(losses, is_real(placed)), **measured})
        return self.means(measures, f"{prefix}_")


def stacked(inputs: Mapping[str, Any], name: str) -> torch.Tensor:
    """Return a tensor of pairs as rows: all the better answers, then all the worse ones.

    LLaMA-Factory's order, in which dropout draws the same numbers.
    """
    rows: torch.Tensor = inputs[name].transpose(0, 1).flatten(0, 1)
    return rows


def is_real(inputs: Mapping[str, Any]) -> torch.Tensor:
    """Return which examples of a batch have anything to learn; fillers have not."""
    learned: torch.Tensor = inputs["labels"].ne(IGNORED_LABEL).flatten(1).any(1)
    return learned
