"""What differs between the stages: how records become examples, examples batches, and batches a loss."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.dataset import Reader, Splits

if TYPE_CHECKING:
    from fttui_engine.train.loop.trainer import WorkerTrainer


class Stage(Protocol):
    """What the recipe asks of a stage; each module beside this one offers it."""

    NEEDS_CHAT_TEMPLATE: bool

    def reader(self, config: TrainingConfig, tokenizer: Any) -> Reader:
        """Return what turns records into examples."""

    def arrange(self, splits: Splits, config: TrainingConfig, log: Callable[[str], None]) -> Splits:
        """Return the examples as they are trained on, such as packed ones; called after the split."""

    def collator(self, config: TrainingConfig, tokenizer: Any) -> Callable[[Sequence[Any]], dict[str, Any]]:
        """Return what makes a batch of tensors of some examples."""

    def equip(self, model: Any, config: TrainingConfig) -> Any:
        """Return the model with what this stage puts on it, such as a value head; called after the adapter."""

    def trainer(self, config: TrainingConfig) -> "Callable[..., WorkerTrainer]":
        """Return what makes the Trainer with the loss of this stage; imports transformers, may load a second model."""


def stage_of(config: TrainingConfig) -> Stage:
    """Return the stage that a configuration asks for."""
    match config.stage:
        case "pt":
            from fttui_engine.train.stages import pretraining

            return pretraining
        case "rm":
            from fttui_engine.train.stages import reward

            return reward
        case "dpo":
            from fttui_engine.train.stages import preference

            return preference
        case "kto":
            from fttui_engine.train.stages import feedback

            return feedback
        case "ppo":
            from fttui_engine.train.stages import ppo

            return ppo
        case _:
            from fttui_engine.train.stages import supervised

            return supervised
