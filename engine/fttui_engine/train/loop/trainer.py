"""The training loop: transformers' Trainer, with our metrics, our checkpoints and our way to stop."""

import math
from typing import Any

import torch
from peft import PeftModel
from transformers import PrinterCallback, Trainer, TrainerCallback
from transformers.trainer_utils import EvalLoopOutput

from fttui_engine.train.errors import CheckpointError, LossNotFiniteError, StopRequestedError
from fttui_engine.train.loop.checkpoints import CheckpointFolder, ResumePoint
from fttui_engine.train.loop.reporter import Reporter
from fttui_engine.train.loop.stop import StopFlag


class WorkerTrainer(Trainer):
    """A Trainer whose resumed run is equal to a straight one, bit by bit, in everything that it reports."""

    # The base class allows for their absence; here they are always there.
    model: Any
    processing_class: Any

    def __init__(
        self,
        *,
        reporter: Reporter,
        stop: StopFlag,
        checkpoints: CheckpointFolder,
        resume: ResumePoint | None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.remove_callback(PrinterCallback)
        self.add_callback(_StepBoundary(self))
        self.reporter = reporter
        self.stop = stop
        self.stopped = False
        self._checkpoints = checkpoints
        self._resume = resume
        self._tokens = resume.tokens if resume else 0
        self._uncounted_tokens: torch.Tensor | int = 0
        self._evaluated_step = -1

    # ---- Steps ----

    def restore_window(self) -> None:
        """Put back what was logged in part when the checkpoint was written, as if the loop had never ended."""
        if self._resume:
            self._tr_loss.fill_(self._resume.loss_sum)
            self._globalstep_last_logged = self._resume.last_logged_step
            self._restore_stage(self._resume.stage)
        self.reporter.start(self.state.global_step, self.state.max_steps, self._tokens)

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Count the tokens of a batch on the device, without waiting for it, and train on the batch."""
        self._uncounted_tokens = self._uncounted_tokens + inputs["attention_mask"].sum()
        return super().training_step(model, inputs, num_items_in_batch)

    def _tokens_so_far(self) -> int:
        self._tokens += int(self._uncounted_tokens)
        self._uncounted_tokens = 0
        return self._tokens

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Send a point of the curves to the reporter; ``trainer_state.json`` keeps no second history."""
        logs["epoch"] = self.state.epoch
        if "eval_loss" in logs:
            self.reporter.evaluated(self.state.global_step, logs.pop("epoch"), logs)
        elif "loss" in logs:
            gpu_memory_peak_bytes = None
            if self.args.device.type == "cuda":
                gpu_memory_peak_bytes = torch.cuda.max_memory_allocated()
                torch.cuda.reset_peak_memory_stats()
            self.reporter.logged(logs, self._tokens_so_far(), gpu_memory_peak_bytes)
            self._require_finite(logs["loss"])
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs)

    def _require_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise LossNotFiniteError(
                f"the loss became {loss} at step {self.state.global_step}",
                f"lower learning_rate from {self.args.learning_rate:g}"
                + (", or use bf16 in place of fp16" if self.args.fp16 else "")
                + "; then resume from a checkpoint before that step",
            )

    # ---- Evaluation ----

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Return the mean loss per learned token; the stock loop averages batches, however short the last one is."""
        model = self._wrap_model(self.model, training=False)
        model.eval()
        loss_sum, tokens = 0.0, 0
        for inputs in dataloader:
            self.stop.check()
            count = int(inputs["labels"][:, 1:].ne(-100).sum())
            loss: Any = self.prediction_step(model, inputs, True, ignore_keys=ignore_keys)[0]
            loss_sum += float(loss) * count
            tokens += count
        mean_loss = loss_sum / tokens
        # exp overflows a float at 709; a loss like that is broken anyway.
        perplexity = math.exp(mean_loss) if mean_loss < 700 else math.inf
        metrics = {f"{metric_key_prefix}_loss": mean_loss, f"{metric_key_prefix}_perplexity": perplexity}
        no_predictions: Any = None
        return EvalLoopOutput(no_predictions, None, metrics, len(dataloader.dataset))

    def _evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        """Evaluate, unless a stop comes first; then the checkpoint notes that this evaluation is still due."""
        self.reporter.phase("eval")
        try:
            metrics: dict[str, float] = super()._evaluate(*arguments, **options)
            self._evaluated_step = self.state.global_step
        except StopRequestedError:
            self.stopped = True
            self.control.should_evaluate = False
            self.control.should_save = True
            self.control.should_training_stop = True
            metrics = {}
        self.reporter.back_to_steps()
        return metrics

    def _evaluation_due(self) -> bool:
        """Whether this step is one to evaluate at and that has not been done."""
        step = self.state.global_step
        if self._evaluated_step == step or self.args.eval_strategy == "no":
            return False
        if self.args.eval_strategy == "epoch":
            return float(self.state.epoch).is_integer()
        return step % self.state.eval_steps == 0 or step >= self.state.max_steps

    # ---- Checkpoints ----

    def _stage_state(self) -> dict[str, Any]:
        """Return what a stage's own Trainer keeps beside the weights, as JSON; called by every rank."""
        return {}

    def _restore_stage(self, state: dict[str, Any]) -> None:
        """Take back what ``_stage_state`` returned."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        loss_sum = self._tr_loss.item()
        self._require_finite(loss_sum)
        self.reporter.phase("save")
        manifest = self._checkpoints.save(
            self.state.global_step,
            lambda: super(WorkerTrainer, self)._save_checkpoint(model, trial),
            {
                "loss_sum": loss_sum,
                "last_logged_step": self._globalstep_last_logged,
                "tokens": self._tokens_so_far(),
                "evaluation_due": self._evaluation_due(),
                "stage": self._stage_state(),
            },
        )
        if manifest:
            size_bytes = sum(file.size_bytes for file in manifest.files)
            self.reporter.log(f"step {self.state.global_step} checkpoint saved ({size_bytes / 1e6:.1f} MB)")
        self.reporter.back_to_steps()

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write the weights and the tokenizer, of LoRA the adapter only; also called for the final result."""
        folder = output_dir or self.args.output_dir
        # peft would otherwise ask the hub at every save whether the vocabulary has changed.
        options = {"save_embedding_layers": False} if isinstance(self.model, PeftModel) else {}
        self.model.save_pretrained(folder, state_dict=state_dict, **options)
        self.processing_class.save_pretrained(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        dtypes = {name: weight.dtype for name, weight in self.model.named_parameters()}
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        # peft may load adapters in another precision than they were trained in; then the next step would differ.
        for name, weight in self.model.named_parameters():
            if weight.dtype != dtypes[name]:
                weight.data = weight.data.to(dtypes[name])

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Refuse a checkpoint that does not fit; the stock loader would go on with whatever did."""
        tied = getattr(self.model, "all_tied_weights_keys", None) or {}
        missing = [key for key in load_result.missing_keys if key not in tied]
        if missing or load_result.unexpected_keys:
            raise CheckpointError(
                f"the checkpoint belongs to another model: it lacks {len(missing)} weights and has "
                f"{len(load_result.unexpected_keys)} that are unknown, such as "
                f"{(missing + list(load_result.unexpected_keys))[0]}",
                "resume with the configuration that wrote it",
            )

    def load_weights(self, folder: str) -> None:
        """Load the weights of a checkpoint and nothing else."""
        self._load_from_checkpoint(folder)


class _StepBoundary(TrainerCallback):
    """Looks at the stop flag where a checkpoint is exact: after the optimizer, before the next batch."""

    def __init__(self, trainer: WorkerTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._trainer.restore_window()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._trainer.reporter.step_done(state.global_step, state.epoch)
        if state.global_step >= state.max_steps:
            # The curve reaches the end even where logging_steps does not divide the run.
            control.should_log = True
        elif self._trainer.stop.requested():
            self._trainer.stopped = True
            control.should_save = True
            control.should_training_stop = True
