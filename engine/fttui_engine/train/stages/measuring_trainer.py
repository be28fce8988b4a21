"""The Trainer of the preference stages: a mean over examples for a loss, and measures of their own beside it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from transformers.trainer_utils import EvalLoopOutput

from fttui_engine.train.data.tokenise import IGNORED_LABEL
from fttui_engine.train.loop.measures import Measure, Measures, mean_of
from fttui_engine.train.loop.trainer import WorkerTrainer


class BatchLoss(NamedTuple):
    """What a stage makes of a batch."""

    losses: torch.Tensor
    """One number per example."""
    measures: Mapping[str, Measure]


class MeasuringTrainer(WorkerTrainer):
    """A Trainer whose loss is the mean over examples, whatever their length, as LLaMA-Factory's.

    A step is the mean over its batches, in several processes as in one.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # The mean over accumulated batches, not over their tokens.
        self.model_accepts_loss_kwargs = False
        self._measures = Measures()
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

    def batch_loss(self, model: Any, inputs: dict[str, Any]) -> BatchLoss:
        """Return the losses and the measures of a batch; each stage has its own."""
        raise NotImplementedError

    def means(self, measures: Measures, prefix: str = "") -> dict[str, float]:
        """Return the means of what was measured and begin anew; all ranks have to ask."""
        return measures.take(self.ranks, prefix)

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

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Send a point of the curves to the reporter, with the measures since the one before."""
        if "loss" in logs:
            logs |= self.means(self._measures)
        super().log(logs, start_time)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Return the mean loss and the measures over all examples."""
        model = self._wrap_model(self.model, training=False)
        model.eval()
        measures = Measures()
        for inputs in dataloader:
            self.stop.check()
            self.silence_filler(inputs)
            with torch.no_grad(), self.compute_loss_context_manager():
                placed = self._prepare_inputs(inputs)
                losses, measured = self.batch_loss(model, placed)
            measures.add({"loss": mean_of(losses, is_real(placed)), **measured})
        no_predictions: Any = None
        means = self.means(measures, f"{metric_key_prefix}_")
        return EvalLoopOutput(no_predictions, None, means, len(dataloader.dataset))

    def _stage_state(self) -> dict[str, Any]:
        return {"measures": self._measures.state(self.ranks)}

    def _restore_stage(self, state: dict[str, Any]) -> None:
        self._measures.restore(state["measures"], self.ranks)


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
