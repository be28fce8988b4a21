"""How an attempt ends: what it writes, and what its outcome says in words."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fttui_engine.runs.attempt import Outcome
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import StopRequestedError
from fttui_engine.train.loop.checkpoints import ResumePoint

if TYPE_CHECKING:
    from fttui_engine.train.recipe import Prepared, Worker


def stopped_before_training(config: TrainingConfig, resume: ResumePoint | None) -> Outcome:
    """Return the outcome of an attempt that was asked to stop before its first step."""
    step = resume.step if resume else 0
    return Outcome(
        "stopped",
        step,
        config.max_steps if config.max_steps > 0 else None,
        f"Stopped at step {step}, before training began.",
        checkpoint=str(resume.path) if resume else None,
    )


def write_result(
    trainer: Any, config: TrainingConfig, prepared: "Prepared", worker: "Worker", best: str
) -> str:
    """Write the trained model or adapter, and predictions where they are wanted; all ranks have to call.

    Returns what there is to say of it; ``best`` is a sentence about the checkpoint that was the best.
    """
    trainer.require_finite_weights()
    trainer.save_model(config.output_dir)
    what = "adapter" if config.finetuning_type in ("lora", "oft") else "model"
    message = f"Finished {worker.reporter.step} steps; the {what} is in {Path(config.output_dir)}."
    if trainer.ended_early:
        message = f"Ended early: {_patience_words(config)}. " + message
    message = f"{message} {best}".rstrip()
    if config.do_predict and worker.ranks.is_main:
        message = f"{message} {_write_predictions(config, prepared, worker)}".rstrip()
    return message


def _write_predictions(config: TrainingConfig, prepared: "Prepared", worker: "Worker") -> str:
    """Answer the evaluation data with the trained model; a stop leaves the rest to ``fttui predict``."""
    from fttui_engine.train.inference.predict import Predictor, held_out_prompts, made_of, write_predictions

    reporter = worker.reporter
    reporter.phase("predict")
    prompts = held_out_prompts(config, prepared.tokenizer, lambda _: None)
    predictor = Predictor(
        prepared.model.eval(), prepared.tokenizer, config, made_of(config, [config.output_dir])
    )
    try:
        check_stop = worker.stop.check_alone
        write_predictions(predictor, prompts, Path(config.output_dir), reporter.log, check_stop, replace=True)
    except StopRequestedError:
        return "Not all predictions are written: `fttui predict` writes them."
    return ""


def _patience_words(config: TrainingConfig) -> str:
    count = config.early_stopping_steps
    return f"{count} evaluations in a row brought no better {config.metric_for_best_model}"
