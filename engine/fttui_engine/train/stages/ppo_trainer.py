"""The Trainer of stage ppo: each of its steps writes answers, has them scored, and learns from them several times."""

import contextlib
from typing import Any, NamedTuple

import torch

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.inference.generation import generation_config
from fttui_engine.train.loop.measures import Measure
from fttui_engine.train.models.frozen import (
    SharedRewardModel,
    can_share_weights,
    load_reward_model,
    reference_for,
    require_vocabulary,
)
from fttui_engine.train.models.value_head import answer_logps
from fttui_engine.train.stages.ppo_losses import (
    Judgement,
    KlCoefficient,
    PolicyLoss,
    ScoreScale,
    advantages_and_returns,
    policy_loss,
    token_rewards,
    whiten,
)
from fttui_engine.train.stages.preference_trainer import switch_off_dropout
from fttui_engine.train.stages.rollout import Rollout, batches, write_answers
from fttui_engine.train.stages.value_head_trainer import ValueHeadTrainer


class Experience(NamedTuple):
    """What a step learns from."""

    rollout: Rollout
    before: Judgement

    def rows(self, chosen: torch.Tensor) -> "Experience":
        """Return what belongs to some of the answers."""
        return Experience(self.rollout.rows(chosen), Judgement(*(field[chosen] for field in self.before)))


class PPOTrainer(ValueHeadTrainer):
    """Makes answers likelier that a reward model scores higher, and stays close to the reference.

    A step of the Trainer is one of PPO: ``ppo_buffer_size`` batches of questions are answered, and these answers are
    learned from ``ppo_epochs`` times. Answers do not outlive their step, so a checkpoint between two steps has all.
    """

    # It is a mean over what rewards happened to be, not a distance that only shrinks.
    LOSS_CAN_EXPLODE = False

    def __init__(self, *, config: TrainingConfig, args: Any, **arguments: Any) -> None:
        # With dropout, the model would differ from the one that wrote the answers before anything is learned.
        switch_off_dropout(arguments["model"])
        self._forward_rows = args.per_device_train_batch_size
        self._update_rows = self._forward_rows * args.gradient_accumulation_steps
        args.per_device_train_batch_size = self._update_rows * config.ppo_buffer_size
        args.gradient_accumulation_steps = 1
        super().__init__(args=args, **arguments)
        self._config = config
        self._generation = generation_config(config, self.scored_model, self.processing_class)
        self._kl_coefficient = KlCoefficient(config.ppo_target)
        self._score_scale = ScoreScale()
        self._reference = reference_for(self.scored_model, config)
        if self._reference is not None:
            require_vocabulary(self._reference, self.processing_class, "ref_model")
            self._reference = self._placed(self._reference)
        self._reward_model = self._scoring_model()

    def _scoring_model(self) -> Any:
        """Return the reward model: the model that is trained, with another adapter, where that is possible."""
        config = self._config
        if can_share_weights(self.scored_model, config):
            self.reporter.log("reward: an adapter on the weights of the model, which takes no more memory")
            return SharedRewardModel(self.scored_model, str(config.reward_model))
        is_adapter = config.reward_model_type == "lora"
        reward_model = load_reward_model(
            config,
            str(config.reward_model),
            # An adapter is read with its model as the other one is trained here.
            quantization_bit=config.quantization_bit if is_adapter else config.reward_model_quantization_bit,
            adapters=() if is_adapter else config.reward_model_adapters or (),
        )
        require_vocabulary(reward_model, self.processing_class, "reward_model")
        self.reporter.log("reward: a model of its own, beside the one that is trained")
        return self._placed(reward_model)

    def _placed(self, frozen: Any) -> Any:
        """Return a model that is not trained on the device of the one that is."""
        switch_off_dropout(frozen)
        return self.accelerator.prepare_model(frozen, evaluation_mode=True).eval()

    def restore_window(self) -> None:
        """Put back what a checkpoint cut, and have each rank draw its answers by numbers of its own."""
        super().restore_window()
        if self.ranks.count > 1:
            # A resume loads those of the checkpoint after this. The order of the questions is drawn already.
            torch.manual_seed(self.args.seed + self.ranks.rank)

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Do one step of PPO but for its last update, which the loop does as in every stage; return the mean loss."""
        self.reporter.batch_begun()
        questions = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            # Not what DDP wraps around it, which can neither generate nor has the ranks wait for each other here.
            experience = self._experience(self.model.eval(), questions)
        model.train()
        updates = [
            rows
            for _ in range(self._config.ppo_epochs)
            for rows in batches(torch.randperm(len(questions["input_ids"])), self._update_rows)
        ]
        losses = []
        for number, rows in enumerate(updates, start=1):
            losses += self._backward(model, experience, rows)
            if number < len(updates):
                if self.args.max_grad_norm > 0:
                    self.accelerator.clip_grad_norm_(model.parameters(), self.args.max_grad_norm)
                self.optimizer.step()
                model.zero_grad()
        means = PolicyLoss(*(torch.stack(each).mean() for each in zip(*losses, strict=True)))
        self._measures.add(
            {
                "policy_loss": Measure(means.policy, 1),
                "value_loss": Measure(means.value, 1),
                "clip_fraction": Measure(means.clipped, 1),
            }
        )
        return means.total

    def _experience(self, model: Any, questions: dict[str, torch.Tensor]) -> Experience:
        """Have the questions answered, and say of each token of the answers how much better it was than expected."""
        config = self._config
        rollout = write_answers(model, questions, self._generation, self._forward_rows)
        self._uncounted_tokens = self._uncounted_tokens + rollout.attention_mask.sum()
        mask = rollout.answer_mask
        chunks = [rollout.rows(rows) for rows in batches(torch.arange(len(mask)), self._forward_rows)]
        scores = torch.cat([self._reward_model.scores(*chunk.padded_on_the_right()) for chunk in chunks])
        logps, values = (
            torch.cat(each)
            for each in zip(*(model(*chunk[:2], mask.shape[1]) for chunk in chunks), strict=True)
        )
        kl = logps - torch.cat([self._reference_logps(chunk) for chunk in chunks])
        self._measure(rollout, scores, kl)
        if config.ppo_score_norm:
            everyones = torch.tensor(self.ranks.gather(scores.tolist()))
            scores = self._score_scale.normalised(scores, everyones.flatten())
        rewards = token_rewards(scores, kl, mask, self._kl_coefficient.value)
        if config.ppo_whiten_rewards:
            rewards = whiten(rewards, mask, keep_mean=True, over_ranks=self._over_ranks)
        advantages, returns = advantages_and_returns(rewards, values, mask)
        advantages = whiten(advantages, mask, over_ranks=self._over_ranks)
        # All ranks have as many answers.
        kls = [mean for (mean,) in self.ranks.gather([(kl * mask).sum(-1).mean().item()])]
        self._kl_coefficient.update(sum(kls) / len(kls), len(mask) * self.ranks.count)
        return Experience(rollout, Judgement(logps, values, advantages, returns, mask))

    def _over_ranks(self, total: torch.Tensor) -> torch.Tensor:
        """Return a sum over all ranks, which learn from all answers together."""
        whole: torch.Tensor = self.accelerator.reduce(total, "sum")
        return whole

    def _reference_logps(self, rollout: Rollout) -> torch.Tensor:
        """Return what the reference makes of the same answers."""
        with contextlib.ExitStack() as stack:
            reference = self._reference
            if reference is None:
                reference = self.scored_model
                stack.enter_context(reference.disable_adapter())
            return answer_logps(reference, *rollout[:2], rollout.answer_mask.shape[1])

    def _backward(self, model: Any, experience: Experience, rows: torch.Tensor) -> list[PolicyLoss]:
        """Add the gradients of some answers, a batch of the forward pass at a time, and return the losses."""
        losses = []
        parts = batches(rows, self._forward_rows)
        for part in parts:
            rollout, before = experience.rows(part)
            with self.compute_loss_context_manager():
                logps, values = model(*rollout[:2], before.mask.shape[1])
                loss = policy_loss(logps, values, before)
            self.accelerator.backward(loss.total / len(parts))
            losses.append(PolicyLoss(*(each.detach() for each in loss)))
        return losses

    def _measure(self, rollout: Rollout, scores: torch.Tensor, kl: torch.Tensor) -> None:
        """Add what is known of the answers to the next point of the curves: means over answers."""
        count = len(scores)
        self._measures.add(
            {
                "reward": Measure(scores.sum(), count),
                "kl": Measure((kl * rollout.answer_mask).sum(), count),
                "kl_coefficient": Measure(scores.new_tensor(self._kl_coefficient.value), 1),
                "answer_length": Measure(rollout.lengths.sum(), count),
            }
        )

    def _stage_state(self) -> dict[str, Any]:
        return super()._stage_state() | {
            "kl_coefficient": self._kl_coefficient.value,
            "score_scale": vars(self._score_scale),
        }

    def _restore_stage(self, state: dict[str, Any]) -> None:
        super()._restore_stage(state)
        self._kl_coefficient.value = state["kl_coefficient"]
        vars(self._score_scale).update(state["score_scale"])
