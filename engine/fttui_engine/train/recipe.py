"""Fine-tuning from the run's ``spec.yaml`` to the trained model, in the order in which it happens."""

from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.runs.attempt import Attempt, Outcome
from fttui_engine.runs.run import Run
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.spec.keys import BITSANDBYTES_OPTIMIZERS
from fttui_engine.spec.resolved import read_spec
from fttui_engine.train.data.dataset import Splits, load_splits
from fttui_engine.train.errors import CheckpointError, ModelError, StopRequestedError
from fttui_engine.train.lean_imports import import_transformers
from fttui_engine.train.loop.arguments import training_arguments
from fttui_engine.train.loop.checkpoints import CheckpointFolder, ResumePoint, read_resume_point
from fttui_engine.train.loop.reporter import Reporter
from fttui_engine.train.loop.stop import StopFlag
from fttui_engine.train.models.freezing import freeze
from fttui_engine.train.models.load import add_adapter, describe, find_model, load_model, load_tokenizer
from fttui_engine.train.stages import Stage, stage_of
from fttui_engine.version import __version__


def read_config(run: Run) -> TrainingConfig:
    """Return the settings of a run of ours."""
    config = read_spec(run.spec_path).config
    if config is None:
        raise ModelError(f"{run.spec_path} is not about training", "start its own command instead")
    return config


def read_resume(attempt: Attempt) -> ResumePoint | None:
    """Return the checkpoint that this attempt goes on from, verified, or ``None`` at step 0."""
    launch = attempt.read_launch()
    if launch is None:
        # Starting at step 0 instead would throw away what was trained before.
        raise CheckpointError(
            f"{attempt.path} does not say where this attempt starts", "stop it and start another attempt"
        )
    return read_resume_point(Path(launch.resume_from)) if launch.resume_from else None


class Prepared(NamedTuple):
    """All that has to be there before the first step."""

    tokenizer: Any
    splits: Splits
    model: Any


def train(config: TrainingConfig, resume: ResumePoint | None, reporter: Reporter, stop: StopFlag) -> Outcome:
    """Fine-tune a model as ``config`` says and return how it ended; failures are raised."""
    stage = stage_of(config)
    output_dir = Path(config.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    try:
        prepared = _prepare(config, stage, reporter, stop)
    except StopRequestedError:
        return _stopped_before_training(config, resume)

    checkpoints = CheckpointFolder(
        output_dir,
        _versions(quantized=config.quantization_bit is not None),
        save_total_limit=config.save_total_limit,
        resumed_from=resume.path if resume else None,
        expected_bytes=_checkpoint_bytes(prepared.model, config),
    )
    trainer = _trainer(
        config, stage, prepared, reporter=reporter, stop=stop, checkpoints=checkpoints, resume=resume
    )
    max_steps = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())[-1]
    reporter.log(_plan(config, prepared.splits.train, max_steps, resume))
    if resume and resume.step >= max_steps:
        # All steps were done before; only the end of the last attempt was cut off.
        reporter.start(resume.step, max_steps, resume.tokens)
        trainer.load_weights(str(resume.path))
    else:
        trainer.train(resume_from_checkpoint=str(resume.path) if resume else None)
    step, newest = reporter.step, str(checkpoints.newest) if checkpoints.newest else None
    if trainer.stopped:
        message = f"Stopped at step {step} of {max_steps}."
        return Outcome("stopped", step, max_steps, message, checkpoint=newest)

    reporter.phase("save")
    trainer.save_model(str(output_dir))
    what = "adapter" if config.finetuning_type == "lora" else "model"
    message = f"Finished {step} steps; the {what} is in {output_dir}."
    return Outcome("finished", step, max_steps, message, checkpoint=newest)


def _prepare(config: TrainingConfig, stage: Stage, reporter: Reporter, stop: StopFlag) -> Prepared:
    """Load tokenizer, data and model, in the order in which a mistake is found soonest."""
    # 4 s of CPU, more than anything else before the first step.
    import_transformers(_unused_packages(config))
    stop.check()

    source = find_model(config)
    tokenizer = load_tokenizer(source, reporter.log, for_chat=stage.NEEDS_CHAT_TEMPLATE)
    reporter.phase("data")
    splits = load_splits(config, stage.reader(config, tokenizer), reporter.log, stop.check)
    splits = stage.arrange(splits, config, reporter.log)

    reporter.phase("loading")
    model = stage.equip(_load_trainable_model(config, source), config)
    reporter.log(describe(model))
    stop.check()
    return Prepared(tokenizer, splits, model)


def _trainer(
    config: TrainingConfig, stage: Stage, prepared: Prepared, *, resume: ResumePoint | None, **parts: Any
) -> Any:
    splits = prepared.splits
    arguments = training_arguments(
        config,
        evaluate=bool(splits.evaluation),
        evaluation_due=bool(resume and resume.evaluation_due),
    )
    return stage.trainer(config)(
        model=prepared.model,
        args=arguments,
        train_dataset=splits.train,
        eval_dataset=splits.evaluation or None,
        data_collator=stage.collator(config, prepared.tokenizer),
        processing_class=prepared.tokenizer,
        resume=resume,
        **parts,
    )


def _unused_packages(config: TrainingConfig) -> tuple[str, ...]:
    if config.trust_remote_code:
        # Nobody knows what the model's own code imports.
        return ()
    if config.quantization_bit is None and config.optim not in BITSANDBYTES_OPTIMIZERS:
        return ("datasets", "bitsandbytes")
    # Found on a CPU, kernels makes bitsandbytes download one from the hub.
    return ("datasets", "kernels") if config.use_cpu else ("datasets",)


def _load_trainable_model(config: TrainingConfig, source: Any) -> Any:
    from transformers import set_seed

    model = load_model(config, source)
    # The adapter's first weights are drawn here.
    set_seed(config.seed)
    match config.finetuning_type:
        case "lora":
            return add_adapter(model, config)
        case "freeze":
            freeze(model, config)
    return model


def _stopped_before_training(config: TrainingConfig, resume: ResumePoint | None) -> Outcome:
    step = resume.step if resume else 0
    return Outcome(
        "stopped",
        step,
        config.max_steps if config.max_steps > 0 else None,
        f"Stopped at step {step}, before training began.",
        checkpoint=str(resume.path) if resume else None,
    )


def _plan(config: TrainingConfig, examples: list[Any], max_steps: int, resume: ResumePoint | None) -> str:
    batch = config.per_device_train_batch_size * config.gradient_accumulation_steps
    return (
        f"train: {len(examples)} examples, {batch} per step "
        f"({config.per_device_train_batch_size} x {config.gradient_accumulation_steps}), {max_steps} steps"
        + (f", resumed from step {resume.step}" if resume else "")
    )


def _checkpoint_bytes(model: Any, config: TrainingConfig) -> int:
    """Return about what a checkpoint takes: the weights that it holds, and Adam's two means of each in float32."""
    trained_only = config.finetuning_type == "lora"
    return sum(
        weight.numel() * (weight.element_size() + (8 if weight.requires_grad else 0))
        for weight in model.parameters()
        if weight.requires_grad or not trained_only
    )


def _versions(*, quantized: bool) -> dict[str, str]:
    packages = ["torch", "transformers", "peft", "accelerate", "tokenizers"]
    if quantized:
        packages.append("bitsandbytes")
    return {"fttui": __version__, **{name: metadata.version(name) for name in packages}}
