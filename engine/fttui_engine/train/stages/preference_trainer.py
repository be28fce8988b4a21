"""The Trainers of the stages dpo and kto, which compare the model with what it was before."""

import contextlib
from typing import Any

import torch

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.loop.measures import Measure, Measures, mean_of
from fttui_engine.train.models.frozen import reference_for, require_vocabulary
from fttui_engine.train.stages.example_mean_trainer import BatchLoss, ExampleMeanTrainer, is_real, stacked
from fttui_engine.train.stages.preference_losses import (
    MEAN_PER_TOKEN,
    WITHOUT_REFERENCE,
    AnswerLogps,
    answer_logps,
    bco_losses,
    judged_losses,
    pair_losses,
)

_ROWS = ("input_ids", "attention_mask", "labels")


class ReferenceTrainer(ExampleMeanTrainer):
    """A Trainer with a reference: a model of its own, or the trained one with its adapter switched off."""

    def __init__(self, *, config: TrainingConfig, **arguments: Any) -> None:
        # Dropout would blur the difference between the model and its reference.
        switch_off_dropout(arguments["model"])
        super().__init__(**arguments)
        self.config = config
        self.reference = None
        if self.needs_reference and (reference := reference_for(self.model, config)) is not None:
            require_vocabulary(reference, self.processing_class, "ref_model")
            switch_off_dropout(reference)
            self.reference = self._placed(reference)

    @property
    def needs_reference(self) -> bool:
        """Whether the loss compares the model with a reference at all."""
        return True

    def _placed(self, reference: Any) -> Any:
        """Return the reference on its device, computing in the precision of the run."""
        if self.is_fsdp_enabled:
            # In the same way as the model: a whole reference would take as much as all that was divided.
            from accelerate.utils.fsdp_utils import fsdp2_prepare_model  # type: ignore[import-untyped]

            return fsdp2_prepare_model(self.accelerator, reference).eval()
        return self.accelerator.prepare_model(reference, evaluation_mode=True).eval()

    def logps(
        self, model: Any, rows: dict[str, Any], prefix: str = "", ld_alpha: float | None = None
    ) -> AnswerLogps:
        """Return the log-probabilities of the answers in a batch, one per row."""
        input_ids, attention_mask, labels = (rows[prefix + name] for name in _ROWS)
        outputs = model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        return answer_logps(outputs.logits, labels, ld_alpha=ld_alpha)

    def reference_logps(self, model: Any, rows: dict[str, Any], prefix: str = "") -> AnswerLogps:
        """Return what the reference makes of the same answers."""
        with torch.no_grad(), contextlib.ExitStack() as stack:
            if self.reference is None:
                stack.enter_context(self.accelerator.unwrap_model(model).disable_adapter())
            return self.logps(model if self.reference is None else self.reference, rows, prefix)


class PairTrainer(ReferenceTrainer):
    """Stage dpo: prefers the better of two answers."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # The mean reward so far, from which pref_bco_weight measures.
        self._baseline, self._baseline_batches = 0.0, 0

    @property
    def needs_reference(self) -> bool:
        """Whether the loss compares the model with a reference at all."""
        return self.config.pref_loss not in WITHOUT_REFERENCE

    def batch_loss(self, model: Any, inputs: dict[str, Any]) -> BatchLoss:
        """Return the loss of each pair, and the rewards that it implies."""
        config = self.config
        rows = {name: stacked(inputs, name) for name in _ROWS}
        logps = self.logps(model, rows, ld_alpha=config.ld_alpha)
        chosen, rejected = _halves(logps, config)
        reference = None
        if self.needs_reference:
            reference = _halves(self.reference_logps(model, rows), config)
        real = is_real(inputs)
        losses, chosen_rewards, rejected_rewards = pair_losses(config, chosen, rejected, reference, real)
        if reference and config.pref_bco_weight > 0:
            rewards = (
                config.pref_beta * (chosen - reference[0]),
                config.pref_beta * (rejected - reference[1]),
            )
            baseline = self._mean_reward(model, rewards, real)
            losses = losses + config.pref_bco_weight * bco_losses(rewards, baseline)
            losses = losses / (1 + config.pref_bco_weight)
        sft_losses = -logps.mean.chunk(2)[0]
        losses = losses + config.pref_ftx * sft_losses
        measures = {
            "rewards/chosen": chosen_rewards,
            "rewards/rejected": rejected_rewards,
            "rewards/accuracies": (chosen_rewards > rejected_rewards).float(),
            "rewards/margins": chosen_rewards - rejected_rewards,
            "logps/chosen": chosen,
            "logps/rejected": rejected,
        }
        if config.pref_loss == "orpo":
            measures |= {"sft_loss": sft_losses, "odds_ratio_loss": (losses - sft_losses) / config.pref_beta}
        return BatchLoss(losses, {name: mean_of(values, real) for name, values in measures.items()})

    def _mean_reward(
        self, model: Any, rewards: tuple[torch.Tensor, torch.Tensor], real: torch.Tensor
    ) -> float:
        """Return the mean reward of all batches that were trained on; evaluations leave it as it is."""
        if model.training:
            # Over all ranks, because they train on one batch together.
            ours = torch.stack(((rewards[0] + rewards[1]).detach().where(real, 0.0).sum(), 2 * real.sum()))
            total, count = map(sum, zip(*self.ranks.gather(ours.tolist()), strict=True))
            self._baseline_batches += 1
            self._baseline += (total / count - self._baseline) / self._baseline_batches
        return self._baseline

    def _stage_state(self) -> dict[str, Any]:
        return super()._stage_state() | {"baseline": [self._baseline, self._baseline_batches]}

    def _restore_stage(self, state: dict[str, Any]) -> None:
        super()._restore_stage(state)
        self._baseline, self._baseline_batches = state["baseline"]


class JudgedTrainer(ReferenceTrainer):
    """Stage kto: prefers good answers to bad ones, measured from how far the model drifted on answers of others."""

    def batch_loss(self, model: Any, inputs: dict[str, Any]) -> BatchLoss:
        """Return the loss of each answer, and the rewards that it implies."""
        config = self.config
        logps = self.logps(model, inputs)
        with torch.no_grad():
            others = self.logps(model, inputs, "kl_").total
        reference = self.reference_logps(model, inputs).total
        drift = others - self.reference_logps(model, inputs, "kl_").total
        real, is_good = is_real(inputs), inputs["is_good"]
        # Over all ranks, because they train on one batch together.
        drift_sum, count = self.accelerator.reduce(
            torch.stack((drift.where(real, 0.0).sum(), real.sum())), "sum"
        )
        kl = (drift_sum / count).clamp(min=0)
        ratios = logps.total - reference
        losses = judged_losses(config, ratios, is_good, kl)
        good, bad = real & is_good, real & ~is_good
        if config.pref_ftx > 0:
            losses = losses + config.pref_ftx * _mean_of_good(logps.mean, good, real)
        rewards = config.pref_beta * ratios
        return BatchLoss(
            losses,
            {
                "rewards/chosen": mean_of(rewards, good),
                "rewards/rejected": mean_of(rewards, bad),
                "logps/chosen": mean_of(logps.total, good),
                "logps/rejected": mean_of(logps.total, bad),
                "kl": Measure(kl, 1),
            },
        )

    def means(self, measures: Measures, prefix: str = "") -> dict[str, float]:
        """Return the means of what was measured, and how far good and bad answers are apart."""
        means = super().means(measures, prefix)
        good, bad = f"{prefix}rewards/chosen", f"{prefix}rewards/rejected"
        if good in means and bad in means:
            means[f"{prefix}rewards/margins"] = means[good] - means[bad]
        return means


def switch_off_dropout(model: Any) -> None:
    """Have a model compute the same in training as in evaluation."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0


def _halves(logps: AnswerLogps, config: TrainingConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-probabilities of the better and of the worse answers."""
    values = logps.mean if config.pref_loss in MEAN_PER_TOKEN else logps.total
    chosen, rejected = values.chunk(2)
    return chosen, rejected


def _mean_of_good(logps: torch.Tensor, good: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Return the loss of learning the good answers as in sft, as a share of each real example of the batch."""
    count = good.sum().clamp(min=1)
    # LLaMA-Factory divides by the number of good answers twice.
    return -(logps.where(good, 0.0).sum() / count) * real.sum() / count
