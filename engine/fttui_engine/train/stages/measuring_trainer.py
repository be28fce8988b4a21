"""Measures beside the loss: added up between two points of the curves, and kept in checkpoints."""

from typing import Any

from fttui_engine.train.loop.measures import Measures
from fttui_engine.train.loop.trainer import WorkerTrainer


class MeasuringTrainer(WorkerTrainer):
    """A Trainer that logs measures of its stage beside the loss."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # The mean over accumulated batches, not over their tokens.
        self.model_accepts_loss_kwargs = False
        self._measures = Measures()

    def means(self, measures: Measures, prefix: str = "") -> dict[str, float]:
        """Return the means of what was measured and begin anew; all ranks have to ask."""
        return measures.take(self.ranks, prefix)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Send a point of the curves to the reporter, with the measures since the one before."""
        if "loss" in logs:
            logs |= self.means(self._measures)
        super().log(logs, start_time)

    def _stage_state(self) -> dict[str, Any]:
        return {"measures": self._measures.state(self.ranks)}

    def _restore_stage(self, state: dict[str, Any]) -> None:
        self._measures.restore(state["measures"], self.ranks)
