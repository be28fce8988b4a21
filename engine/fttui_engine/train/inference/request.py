"""What the command line asks of the process that has torch; see ``launch/inference.py`` for its other end."""

import json
from typing import Any, NamedTuple

from fttui_engine.spec.config import TrainingConfig


class Request(NamedTuple):
    """A model and what is to be done with it."""

    verb: str
    label: str
    values: dict[str, Any]
    adapters: list[str]
    weights: str | None
    output_dir: str
    written: list[str]
    options: dict[str, Any]

    @classmethod
    def from_json(cls, text: str) -> "Request":
        """Return what ``run_here`` wrote."""
        return cls(**json.loads(text))

    @property
    def config(self) -> TrainingConfig:
        """The typed settings; data may be missing, since most of what is done with a model needs none."""
        return TrainingConfig.from_values({"dataset": [], **self.values})
