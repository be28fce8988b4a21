"""The training loop: transformers' Trainer, with our metrics, our checkpoints and our way to stop."""

import math
from typing import Any

import torch
from peft import PeftModel
from transformers import PrinterCallback, TrainerCallback

from fttui_engine.train.data.digest import digest
from fttui_engine.train.errors import CheckpointError
from fttui_engine.train.loop.checkpoints import CheckpointFolder
from fttui_engine.train.loop.divergence import DivergenceWatch, diverged, has_finite_weights, losses_before
from fttui_engine.train.loop.evaluating_trainer import EvaluatingTrainer
from fttui_engine.train.loop.length_groups import LengthGroups
from fttui_engine.train.loop.muon import muon
from fttui_engine.train.loop.optimizer import LoraPlus, optimizer_with_rates
from fttui_engine.train.models import pissa
from fttui_engine.train.models.adapters import save_adapter
from fttui_engine.train.models.saving import write_model
from fttui_engine.train.ranks.sharding import held_share


class WorkerTrainer(EvaluatingTrainer):
    """A Trainer whose resumed run is equal to a straight one, bit by bit, in everything that it reports."""

    LOSS_CAN_EXPLODE = True
    """Whether a loss that is much higher than it was means that training diverged."""

    def __init__(
        self,
        *,
        checkpoints: CheckpointFolder,
        rates: LoraPlus | None = None,
        uses_muon: bool = False,
        groups_lengths: bool = False,
        on_divergence: str = "stop",
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.remove_callback(PrinterCallback)
        self.add_callback(_StepBoundary(self))
        self._checkpoints = checkpoints
        self._rates = rates
        self._uses_muon = uses_muon
        self._groups_lengths = groups_lengths
        self._groups: LengthGroups | None = None
        self._on_divergence, self._warned = on_divergence, False
        self._divergence = DivergenceWatch(is_fp16=self.args.fp16, can_explode=self.LOSS_CAN_EXPLODE)
        resume = self._resume
        self._tokens = resume.tokens if resume else 0
        self._uncounted_tokens: torch.Tensor | int = 0
        self._data = digest(arguments["train_dataset"])

    # ---- Steps ----

    def restore_window(self) -> None:
        """Put back what was logged in part when the checkpoint was written, as if the loop had never ended."""
        if self._resume:
            self._tr_loss.fill_(self._resume.loss_sum_of(self.ranks))
            self._globalstep_last_logged = self._resume.last_logged_step
            self._restore_stage(self._resume.stage)
            losses = losses_before(self._resume.step, self.reporter.run_path) if self.ranks.is_main else []
            self._divergence.recall(self.ranks.share(losses))
            if self._resume.data not in (None, self._data):
                self.reporter.log(
                    f"warning: the examples are not those that step {self._resume.step} was trained on: the data, what "
                    "prepares it or the tokenizer has changed; training goes on with the new ones, at the same place"
                )
        if self.is_fsdp_enabled:
            # Measured, since a library that keeps them whole says nothing.
            self.reporter.log(f"fsdp: this process holds {held_share(self.model):.0%} of the weights")
        self.reporter.start(self.state.global_step, self.state.max_steps, self._tokens)

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Count the tokens of a batch on the device, without waiting for it, and train on the batch."""
        self.reporter.batch_begun()
        self._uncounted_tokens = self._uncounted_tokens + self.tokens_read(inputs)
        return super().training_step(model, inputs, num_items_in_batch)

    def create_optimizer(self, model: Any = None) -> Any:
        """Return the optimizer, which may move some weights faster than others."""
        if self._uses_muon and self.optimizer is None:
            self.optimizer = muon(model or self.model, self.args)
            return self.optimizer
        if self._rates is not None and self.optimizer is None:
            self.optimizer = optimizer_with_rates(self, model or self.model, self._rates)
            return self.optimizer
        return super().create_optimizer(model)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if not self._groups_lengths:
            return super()._get_train_sampler(train_dataset)
        examples: Any = self.train_dataset if train_dataset is None else train_dataset
        per_step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.ranks.count
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        self._groups = LengthGroups([len(example.input_ids) for example in examples], per_step, seed)
        return self._groups

    def begin_epoch(self) -> None:
        """Have the examples in the order of this epoch, also where a resume begins in its middle."""
        if self._groups is not None:
            self._groups.epoch = int(self.state.epoch)

    def _tokens_so_far(self) -> int:
        """Return the tokens that all ranks have read since step 0; all of them have to ask."""
        self._tokens += int(sum(tokens for (tokens,) in self.ranks.gather([float(self._uncounted_tokens)])))
        self._uncounted_tokens = 0
        return self._tokens

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Send a point of the curves to the reporter; ``trainer_state.json`` keeps no second history."""
        if self._is_part:
            return
        logs["epoch"] = self.state.epoch
        if "eval_loss" in logs:
            self.reporter.evaluated(self.state.global_step, logs.pop("epoch"), logs)
        elif "loss" in logs:
            gpu_memory_peak_bytes = None
            if self.args.device.type == "cuda":
                peaks = self.ranks.gather([float(torch.cuda.max_memory_allocated())])
                gpu_memory_peak_bytes = int(max(peak for (peak,) in peaks))
                torch.cuda.reset_peak_memory_stats()
            self.reporter.logged(logs, self._tokens_so_far(), gpu_memory_peak_bytes)
            self._judge(logs["loss"], logs.get("grad_norm"))
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs)

    def _judge(self, loss: float, norm: float | None) -> None:
        """End a training that no longer learns, or say so, as is wanted."""
        wrong = self._divergence.verdict(self.state.global_step, loss, norm)
        if wrong and self._on_divergence == "stop":
            raise diverged(wrong, self.args)
        if wrong and self._on_divergence == "warn" and not self._warned:
            self.reporter.log(f"warning: {wrong}; training goes on, as run.divergence: warn asks for")
        self._warned = bool(wrong)

    def require_finite_weights(self) -> None:
        """Raise DivergedError on every rank unless all trained weights are numbers; all ranks have to ask."""
        if self.ranks.any(not has_finite_weights(self.model)):
            raise diverged(f"weights became NaN or infinite by step {self.state.global_step}", self.args)

    # ---- Checkpoints ----

    def _stage_state(self) -> dict[str, Any]:
        """Return what a stage's own Trainer keeps beside the weights, as JSON; called by every rank."""
        return {}

    def _restore_stage(self, state: dict[str, Any]) -> None:
        """Take back what ``_stage_state`` returned."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        loss_sums = [loss_sum for (loss_sum,) in self.ranks.gather([self._tr_loss.item()])]
        if self._is_suspect(loss_sums) and not self.stopped:
            step = self.state.global_step
            self.reporter.log(f"step {step} no checkpoint: the loss is too high to be sure of the weights")
            return
        self.require_finite_weights()
        self.reporter.phase("save")
        if self._evaluation.keep_best and self.state.best_global_step:
            self._checkpoints.best = self._checkpoints.folder_of(self.state.best_global_step)
        manifest = self._checkpoints.save(
            self.state.global_step,
            lambda: super(WorkerTrainer, self)._save_checkpoint(model, trial),
            {
                "loss_sums": loss_sums,
                "last_logged_step": self._globalstep_last_logged,
                "tokens": self._tokens_so_far(),
                "evaluation_due": self._evaluation_due(),
                "stage": self._stage_state(),
                "evaluations_without_gain": self._evaluations_without_gain,
                "data": self._data,
                "rank_rows": self.ranks.rows,
            },
        )
        if manifest:
            size_bytes = sum(file.size_bytes for file in manifest.files)
            self.reporter.log(f"step {self.state.global_step} checkpoint saved ({size_bytes / 1e6:.1f} MB)")
        self.reporter.back_to_steps()

    def _is_suspect(self, loss_sums: list[float]) -> bool:
        """Whether the loss since the last logged step says that these weights may be worse than those saved before."""
        total, steps = sum(loss_sums), self.state.global_step - self._globalstep_last_logged
        if steps and not math.isfinite(total):
            self._judge(total, None)
        mean = total / len(loss_sums) / steps if steps else 0.0
        return self._on_divergence != "off" and self._divergence.suspects(mean)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write the weights and the tokenizer, of LoRA the adapter only; also called for the final result."""
        folder = output_dir or str(self.args.output_dir)
        if isinstance(self.model, PeftModel):
            save_adapter(self.model, folder, state_dict)
        else:
            write_model(self.model, folder, state_dict=state_dict)
        self.processing_class.save_pretrained(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if pissa.is_pissa(self.model) and not self.is_fsdp_enabled:
            pissa.load(self.model, resume_from_checkpoint)
            return
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
        if self.is_fsdp_enabled:
            self.load_divided(folder)
        else:
            self._load_from_checkpoint(folder)


class _StepBoundary(TrainerCallback):
    """Looks at the stop flag where a checkpoint is exact: after the optimizer, before the next batch."""

    def __init__(self, trainer: WorkerTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._trainer.restore_window()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._trainer.begin_epoch()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._trainer.reporter.step_done(state.global_step, state.epoch)
        if state.global_step >= state.max_steps:
            # The curve reaches the end even where logging_steps does not divide the run.
            control.should_log = True
        elif self._trainer.stop.requested():
            self._trainer.stopped = True
            control.should_save = True
            control.should_training_stop = True
