"""Fine-tuning from the run's ``spec.yaml`` to the trained model, in the order in which it happens."""

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fttui_engine.runs.attempt import Attempt, Outcome
from fttui_engine.runs.run import Run
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.spec.keys import BITSANDBYTES_OPTIMIZERS
from fttui_engine.spec.resolved import read_spec
from fttui_engine.spec.run_block import RunOptions
from fttui_engine.train.data.dataset import Splits, load_splits
from fttui_engine.train.data.packing import packs, refuse_if_mixed
from fttui_engine.train.ending import stopped_before_training, write_result
from fttui_engine.train.errors import CheckpointError, ModelError, StopRequestedError
from fttui_engine.train.lean_imports import import_transformers
from fttui_engine.train.loop.arguments import training_arguments
from fttui_engine.train.loop.checkpoints import (
    CheckpointFolder,
    ResumePoint,
    checkpoint_bytes,
    library_versions,
    read_resume_point,
)
from fttui_engine.train.loop.evaluation import NothingLeftToTrain, ended_early, evaluation_plan, load_best
from fttui_engine.train.loop.optimizer import lora_plus
from fttui_engine.train.loop.reporter import Reporter
from fttui_engine.train.loop.stop import StopFlag
from fttui_engine.train.models.kernels import Kernels, choose_kernels
from fttui_engine.train.models.load import describe, find_model, load_tokenizer
from fttui_engine.train.models.vocabulary import add_tokens
from fttui_engine.train.ranks.group import Ranks
from fttui_engine.train.ranks.precision import for_every_card
from fttui_engine.train.ranks.strategy import Strategy, choose_strategy
from fttui_engine.train.stages import Stage, stage_of

if TYPE_CHECKING:
    from fttui_engine.train.loop.memory_watch import MemoryWatch


def read_config(run: Run) -> tuple[TrainingConfig, RunOptions]:
    """Return the settings of a run of ours."""
    spec = read_spec(run.spec_path)
    if spec.config is None:
        raise ModelError(f"{run.spec_path} is not about training", "start its own command instead")
    return spec.config, spec.run


def read_resume(attempt: Attempt, ranks: Ranks) -> ResumePoint | None:
    """Return the checkpoint that this attempt goes on from, verified, or ``None`` at step 0."""
    launch = attempt.read_launch()
    if launch is None:
        # Starting at step 0 instead would throw away what was trained before.
        raise CheckpointError(
            f"{attempt.path} does not say where this attempt starts", "stop it and start another attempt"
        )
    if not launch.resume_from:
        return None
    folder = Path(launch.resume_from)
    if agreed := os.environ.get("FTTUI_RESUME_STEP"):
        # Not all hosts may have the newest one of this host.
        folder = folder.with_name(f"checkpoint-{agreed}")
    return read_resume_point(folder, in_full=ranks.is_writer)


class Prepared(NamedTuple):
    """All that has to be there before the first step."""

    tokenizer: Any
    splits: Splits
    model: Any
    kernels: Kernels


class Worker(NamedTuple):
    """This process: whom it tells what it does, how it is stopped, and which other processes train with it."""

    reporter: Reporter
    stop: StopFlag
    ranks: Ranks
    on_divergence: str = "stop"
    """What is done when the loss is no number or explodes: ``stop``, ``warn`` or ``off``."""


def train(
    config: TrainingConfig, wanted_strategy: str, resume: ResumePoint | None, worker: Worker
) -> Outcome:
    """Fine-tune a model as ``config`` says and return how it ended; failures are raised."""
    reporter, ranks = worker.reporter, worker.ranks
    stage = stage_of(config)
    output_dir = Path(config.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    try:
        config = meet(config, wanted_strategy, worker).settle(config)
        ranks.look_for_sharing(output_dir)
        config = for_every_card(config, ranks, reporter.log)
        _require_one_start(resume, ranks)
        prepared = prepare(config, stage, worker)
    except StopRequestedError:
        return stopped_before_training(config, resume)

    checkpoints = CheckpointFolder(
        output_dir,
        library_versions(quantized=config.quantization_bit is not None),
        save_total_limit=config.save_total_limit,
        resumed_from=resume.path if resume else None,
        expected_bytes=checkpoint_bytes(prepared.model, config),
        ranks=ranks,
    )
    if ranks.is_writer and config.save_strategy != "no":
        checkpoints.require_space()
    trainer = build_trainer(
        config, stage, prepared, resume=resume, checkpoints=checkpoints, **worker._asdict()
    )
    if ranks.count > 1 and ranks.wanted_rows:
        from fttui_engine.train.ranks.calibration import settle_rows

        ranks.rows = settle_rows(ranks, trainer, config, resume, reporter.log)
    if ranks.is_main:
        # It imports transformers.
        from fttui_engine.train.loop.trackers import add_trackers

        add_trackers(trainer, config, reporter.run_path, reporter.log)
    max_steps = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())[-1]
    reporter.log(_plan(config, prepared.splits.train, max_steps, resume, ranks))
    if resume and (resume.step >= max_steps or ended_early(config, resume)):
        # All steps were done before; only the end of the last attempt was cut off.
        reporter.start(resume.step, max_steps, resume.tokens)
        trainer.load_weights(str(resume.path))
    else:
        watch = _watch_memory(config, prepared, worker)
        with contextlib.suppress(NothingLeftToTrain):
            trainer.train(resume_from_checkpoint=str(resume.path) if resume else None)
        if watch:
            watch.end()
    newest = str(checkpoints.newest) if checkpoints.newest else None
    if trainer.stopped:
        message = f"Stopped at step {reporter.step} of {max_steps}."
        return Outcome("stopped", reporter.step, max_steps, message, checkpoint=newest)
    reporter.phase("save")
    best = load_best(trainer, checkpoints, resume) if config.load_best_model_at_end else ""
    message = write_result(trainer, config, prepared, worker, best)
    return Outcome("finished", reporter.step, max_steps, message, checkpoint=newest)


def meet(config: TrainingConfig, wanted_strategy: str, worker: Worker) -> Strategy:
    """Import what is needed, meet the other ranks, and agree how to share the work."""
    ranks = worker.ranks
    # 4 s of CPU, more than anything else before the first step.
    import_transformers(_unused_packages(config))
    import torch

    use_cpu = config.use_cpu or not torch.cuda.is_available()
    ranks.join(use_cpu=use_cpu, timeout_seconds=config.ddp_timeout)
    worker.stop.check()
    strategy = choose_strategy(config, wanted_strategy, ranks)
    if ranks.count > 1:
        worker.reporter.log(
            f"ranks: {ranks.count} processes share the work by {strategy.name}, {strategy.reason}"
        )
    return strategy


def _require_one_start(resume: ResumePoint | None, ranks: Ranks) -> None:
    """Raise CheckpointError unless all ranks go on from the same step; each host has looked for itself."""
    steps = {int(step) for (step,) in ranks.gather([float(resume.step if resume else 0)])}
    if len(steps) > 1:
        raise CheckpointError(
            f"the hosts would go on from different steps: {', '.join(map(str, sorted(steps)))}",
            "give all hosts the same checkpoint, the newest that one of them has",
        )


def prepare(config: TrainingConfig, stage: Stage, worker: Worker) -> Prepared:
    """Load tokenizer, data and model, in the order in which a mistake is found soonest."""
    # They import torch.
    from fttui_engine.train.loop.loss import choose_loss
    from fttui_engine.train.models.trainable import load_trainable_model

    reporter = worker.reporter
    # What has to be made or downloaded for it is made once.
    source = worker.ranks.main_first(lambda: find_model(config))
    tokenizer = load_tokenizer(
        source, reporter.log, for_chat=stage.NEEDS_CHAT_TEMPLATE, template=config.template
    )
    add_tokens(tokenizer, config, reporter.log)
    reporter.phase("data")
    splits = _load_data(config, stage, tokenizer, worker)

    reporter.phase("loading")
    kernels = choose_kernels(config, reporter.log)
    model = load_trainable_model(config, source, tokenizer, kernels=kernels, log=reporter.log)
    model = stage.equip(model, config)
    reporter.log(describe(model))
    if packs(config):
        refuse_if_mixed(model)
    if not kernels.liger:
        kernels = kernels._replace(chunked_loss=choose_loss(model, config, reporter.log))
    worker.stop.check()
    return Prepared(tokenizer, splits, model, kernels)


def _load_data(config: TrainingConfig, stage: Stage, tokenizer: Any, worker: Worker) -> Splits:
    """Return the examples; rank 0 prepares them, and the others wait and then find them in the cache."""
    reporter, stop, ranks = worker.reporter, worker.stop, worker.ranks
    # What the others read from the cache is not worth a stop that one of them alone would see.
    check_stop = stop.check_alone if ranks.is_reporter else lambda: None

    def load() -> Splits:
        reader = stage.reader(config, tokenizer)
        splits = load_splits(config, reader, tokenizer, reporter.log, check_stop, processes=ranks.count)
        return stage.arrange(splits, config, reporter.log)

    return ranks.main_first(load)


def build_trainer(
    config: TrainingConfig,
    stage: Stage,
    prepared: Prepared,
    *,
    resume: ResumePoint | None,
    **parts: Any,
) -> Any:
    """Return the Trainer of the stage with all that it needs."""
    splits = prepared.splits
    arguments = training_arguments(
        config,
        kernels=prepared.kernels,
        evaluate=bool(splits.evaluation),
        evaluation_due=resume.evaluation_due if resume else config.eval_on_start,
        each_host_saves=not parts["ranks"].shares_output,
    )
    return stage.trainer(config)(
        model=prepared.model,
        args=arguments,
        train_dataset=splits.train,
        eval_dataset=splits.evaluation or None,
        data_collator=stage.collator(config, prepared.tokenizer),
        processing_class=prepared.tokenizer,
        resume=resume,
        evaluation=evaluation_plan(config),
        rates=lora_plus(config),
        uses_muon=config.use_muon,
        groups_lengths=config.train_sampling_strategy == "group_by_length" and not packs(config),
        **parts,
    )


def _watch_memory(config: TrainingConfig, prepared: Prepared, worker: Worker) -> "MemoryWatch | None":
    """Record what the first rank is predicted to take; its ``end`` records the truth."""
    if not worker.ranks.is_reporter:
        return None
    # It is of no use before torch is there.
    from fttui_engine.train.loop.memory_watch import MemoryWatch

    examples, run_path = prepared.splits.train, worker.reporter.run_path
    return MemoryWatch.begin(config, examples, run_path, processes=worker.ranks.count)


def _unused_packages(config: TrainingConfig) -> tuple[str, ...]:
    if config.trust_remote_code:
        # Nobody knows what the model's own code imports.
        return ()
    unused = ["datasets"]
    # accelerate imports it wherever it finds it: 0.4 s of CPU.
    if config.deepspeed is None:
        unused.append("deepspeed")
    if config.quantization_bit is None and config.optim not in BITSANDBYTES_OPTIMIZERS:
        unused.append("bitsandbytes")
    elif config.use_cpu:
        # Found on a CPU, kernels makes bitsandbytes download one from the hub.
        unused.append("kernels")
    return tuple(unused)


def _plan(
    config: TrainingConfig,
    examples: Sequence[Any],
    max_steps: int,
    resume: ResumePoint | None,
    ranks: Ranks,
) -> str:
    factors = [config.per_device_train_batch_size, config.gradient_accumulation_steps]
    if config.stage == "ppo":
        factors.append(config.ppo_buffer_size)
    if ranks.count > 1:
        factors.append(ranks.count)
    product = " x ".join(map(str, factors)) + (" processes" if ranks.count > 1 else "")
    if ranks.rows:
        shown = "+".join(map(str, ranks.rows))
        product = f"{shown} of {ranks.count} processes x {config.gradient_accumulation_steps}"
    return (
        f"train: {len(examples)} examples, {math.prod(factors)} per step ({product}), {max_steps} steps"
        + (f", resumed from step {resume.step}" if resume else "")
    )
