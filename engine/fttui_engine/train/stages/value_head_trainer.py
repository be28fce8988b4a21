"""A Trainer of a model with a value head: how it is saved and loaded."""

from pathlib import Path
from typing import Any

from fttui_engine.train.errors import CheckpointError
from fttui_engine.train.models.value_head import load_value_head, save_value_head
from fttui_engine.train.stages.measuring_trainer import MeasuringTrainer


class ValueHeadTrainer(MeasuringTrainer):
    """A Trainer whose model or adapter is saved as in every stage, with the value head in a file beside it."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # What is below the value head; all the base class knows of saving and loading applies to it.
        self.scored_model = self.model.pretrained_model

    def _dtype_of_divided_weights(self) -> None:
        """Have no weight rounded before it is put together: the head is in float32, because scores lie close together."""

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write the model or its adapter as in every stage, and the value head beside it."""
        folder = str(output_dir or self.args.output_dir)
        whole, self.model = self.model, self.scored_model
        try:
            super()._save(folder, _below_the_head(state_dict))
        finally:
            self.model = whole
        save_value_head(whole.v_head, folder, state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.is_fsdp_enabled:
            # Loaded while it was whole, as load_divided says.
            return
        whole, self.model = self.model, self.scored_model
        try:
            super()._load_from_checkpoint(resume_from_checkpoint, self.scored_model)
        finally:
            self.model = whole
        if not load_value_head(whole.v_head, Path(resume_from_checkpoint)):
            raise CheckpointError(
                f"{resume_from_checkpoint} has no value head, so it is of another stage",
                "resume with the configuration that wrote it",
            )


def _below_the_head(state_dict: dict[str, Any] | None) -> dict[str, Any] | None:
    if state_dict is None:
        return None
    prefix = "pretrained_model."
    return {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
