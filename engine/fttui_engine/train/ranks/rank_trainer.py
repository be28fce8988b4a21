"""transformers' Trainer in several processes: the same examples, the same checkpoints as in one."""

from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from fttui_engine.train.ranks.group import Ranks
from fttui_engine.train.ranks.rank_rows import first_row, take_rows
from fttui_engine.train.ranks.sharding import (
    divide_on_cpu,
    division_precision,
    gather_optimizer,
    gather_weights,
    load_optimizer,
)
from fttui_engine.train.ranks.zero import gather_zero_weights, is_divided

IGNORED_LABEL = -100


class RankTrainer(Trainer):
    """A Trainer of which every rank writes its part of what one process would have written."""

    # The base class allows for its absence; here it is always there.
    model: Any
    optimizer: Any

    def __init__(self, *, ranks: Ranks, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.ranks = ranks
        self._filler: tuple[dict[str, Any], int] | None = None

    def create_accelerator_and_postprocess(self) -> None:
        """Make the accelerator, which divides the weights on a CPU too."""
        if self.args.fsdp:
            dtype = self._dtype_of_divided_weights()
            self.args.fsdp_plugin_args["mixed_precision_policy"] = division_precision(dtype)
        super().create_accelerator_and_postprocess()
        if self.args.fsdp and not self.is_fsdp_enabled:
            divide_on_cpu(self.accelerator, self.args.fsdp_plugin_args)
            self.is_fsdp_enabled = True

    def _dtype_of_divided_weights(self) -> torch.dtype | None:
        """Return what float32 weights are rounded to before they are put together; ``None`` leaves them as they are."""
        if self.args.bf16:
            return torch.bfloat16
        return torch.float16 if self.args.fp16 else None

    # ---- The same examples ----

    def get_train_dataloader(self) -> Any:
        """Return the loader of this rank's rows, which are as many as its share."""
        loader = super().get_train_dataloader()
        if self.ranks.rows:
            take_rows(loader, self.ranks.rows, self.ranks.rank)
        return loader

    def _get_num_items_in_batch(
        self, batch_samples: list[Any], device: torch.device
    ) -> torch.Tensor | int | None:
        if batch_samples:
            self.silence_filler(batch_samples[-1], self.ranks.rows)
        return super()._get_num_items_in_batch(batch_samples, device)

    def silence_filler(self, inputs: dict[str, Any], rows_of: tuple[int, ...] | None = None) -> int:
        """Have nothing learned from the examples that are repeated so that all ranks have as many batches.

        Those at the end of an epoch, in the batch that was fetched last; returns how many rows of it are real.
        ``rows_of`` are the rows of each rank, where they are not equally many.
        """
        rows = len(next(value for value in inputs.values() if isinstance(value, torch.Tensor)))
        state = self.accelerator.gradient_state
        if self.ranks.count == 1 or not state.end_of_dataloader:
            return rows
        # Not the remainder that accelerate knows: in an epoch that a resume begins in its middle, it counts one rank.
        rows_of = rows_of or (rows,) * self.ranks.count
        remainder = len(state.active_dataloader.dataset) % sum(rows_of)
        if not remainder:
            return rows
        # The last batches of all ranks, rank 0's first, begin with the real examples.
        real: int = min(rows, max(0, remainder - first_row(rows_of, self.ranks.rank)))
        if real < rows:
            self.silence(inputs, real)
            self._filler = (inputs, real)
        return real

    def tokens_read(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Return the number of tokens in the real examples of a batch, on its device."""
        real = self._filler[1] if self._filler and self._filler[0] is inputs else None
        # Packed examples have no mask; their counts are not for the model.
        counts: torch.Tensor = (
            inputs.pop("token_counts") if "token_counts" in inputs else inputs["attention_mask"]
        )
        return counts[:real].sum()

    def silence(self, inputs: dict[str, Any], real: int) -> None:
        """Have nothing learned from the rows behind the first ``real`` ones."""
        for name, value in inputs.items():
            if name.endswith("labels"):
                value[real:] = IGNORED_LABEL

    def prediction_step(self, *arguments: Any, **options: Any) -> Any:
        """Measure a batch by its own tokens: the base class would share out the loss as in a training step."""
        self.args.average_tokens_across_devices = False
        try:
            return super().prediction_step(*arguments, **options)
        finally:
            self.args.average_tokens_across_devices = True

    # ---- The same checkpoints ----

    def load_divided(self, folder: str) -> None:
        """Load the weights of a checkpoint into a model that is going to be divided, while it is still whole."""
        # Without this the base class would look for the files of accelerate's own format.
        self.is_fsdp_enabled = False
        try:
            self._load_from_checkpoint(folder)
        finally:
            self.is_fsdp_enabled = True

    def train(self, resume_from_checkpoint: Any = None, *arguments: Any, **options: Any) -> Any:
        """Train; of a model that is going to be divided, the weights are loaded before that."""
        if resume_from_checkpoint and self.is_fsdp_enabled:
            self.load_divided(resume_from_checkpoint)
        return super().train(resume_from_checkpoint, *arguments, **options)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the weights, once on every host that has folders of its own; all ranks have to call."""
        state = None
        if self.is_fsdp_enabled:
            trained_only = hasattr(self.model, "peft_config")
            state = gather_weights(self.model, trained_only=trained_only, keep=self.ranks.is_writer)
        elif any(map(is_divided, self.model.parameters())):
            trained_only = hasattr(self.model, "peft_config")
            state = gather_zero_weights(self.model, trained_only=trained_only, keep=self.ranks.is_writer)
        if self.ranks.is_writer:
            folder = output_dir or str(self.args.output_dir)
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._save(folder, state_dict=state)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        state = gather_optimizer(self.optimizer, keep=self.ranks.is_writer)
        if self.ranks.is_writer:
            torch.save(state, Path(output_dir) / "optimizer.pt")
            scheduler: Any = self.lr_scheduler
            torch.save(scheduler.state_dict(), Path(output_dir) / "scheduler.pt")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if not self.is_fsdp_enabled or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        state = torch.load(
            Path(checkpoint) / "optimizer.pt", map_location="cpu", weights_only=True, mmap=True
        )
        load_optimizer(self.optimizer, state)
        scheduler: Any = self.lr_scheduler
        scheduler.load_state_dict(torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True))
