"""What evaluations decide: which checkpoint is the best, and when to stop because nothing improves any more."""

from typing import Any, NamedTuple

from fttui_engine.runs.checkpoints import CheckpointDamagedError, verify
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import CheckpointError
from fttui_engine.train.loop.checkpoints import ResumePoint
from fttui_engine.train.loop.token_metrics import TokenMetrics, find_metric_function


class EvaluationPlan(NamedTuple):
    """What the Trainer measures beside the loss, and what follows from it."""

    metrics: TokenMetrics
    keep_best: bool = False
    """Each new best is saved, never pruned, and is the result in the end."""
    patience: int | None = None
    """Training ends after so many evaluations in a row without gain."""


class NothingLeftToTrain(Exception):  # noqa: N818 - not a failure
    """An evaluation that a stop had cut short was made up for, and it is the one that ends training."""


def evaluation_plan(config: TrainingConfig) -> EvaluationPlan:
    """Return what a configuration wants of its evaluations; imports the user's own metric function."""
    name = config.compute_metrics
    return EvaluationPlan(
        TokenMetrics(
            accuracy=config.compute_accuracy,
            function=find_metric_function(name) if name is not None else None,
        ),
        config.load_best_model_at_end,
        config.early_stopping_steps,
    )


def ended_early(config: TrainingConfig, resume: ResumePoint) -> bool:
    """Whether the attempt before had seen enough evaluations without gain, and only its end was cut off."""
    return (
        config.early_stopping_steps is not None
        and resume.evaluations_without_gain >= config.early_stopping_steps
    )


def load_best(trainer: Any, checkpoints: Any, resume: ResumePoint | None) -> str:
    """Load the weights of the best checkpoint and return a sentence about it; empty where the newest is the best.

    One that is damaged is left alone: the model as it is now is worth more than no result.
    """
    from transformers import TrainerState

    state = trainer.state
    if state.global_step == 0 and resume is not None:
        # No step was left to do, so that the Trainer has not read the checkpoint's state.
        state = TrainerState.load_from_json(str(resume.path / "trainer_state.json"))
    best_step = state.best_global_step
    if not best_step or best_step == state.global_step:
        return ""
    folder = checkpoints.folder_of(best_step)
    try:
        verify(folder)
        trainer.load_weights(str(folder))
    except (CheckpointDamagedError, CheckpointError) as error:
        return f"The best one, of step {best_step}, is damaged ({error.message}); this is the last."
    return f"It is that of step {best_step}, whose {trainer.args.metric_for_best_model} is {state.best_metric:.4g}."
