"""Evaluation during training: exact means, several data sets, the best step, and the end where nothing is gained."""

import math
from typing import Any

from transformers.trainer_utils import EvalLoopOutput

from fttui_engine.train.errors import EvaluationError, StopRequestedError
from fttui_engine.train.loop.checkpoints import ResumePoint
from fttui_engine.train.loop.evaluation import EvaluationPlan, NothingLeftToTrain
from fttui_engine.train.loop.reporter import Reporter
from fttui_engine.train.loop.stop import StopFlag
from fttui_engine.train.ranks.rank_trainer import RankTrainer


class EvaluatingTrainer(RankTrainer):
    """A Trainer that evaluates as one process with all the data would, and whose evaluations can be cut short."""

    # The base class allows for their absence; here they are always there.
    model: Any
    processing_class: Any

    def __init__(
        self,
        *,
        reporter: Reporter,
        stop: StopFlag,
        resume: ResumePoint | None,
        evaluation: EvaluationPlan,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.reporter = reporter
        self.stop = stop
        self.stopped = False
        self._resume = resume
        self._evaluation = evaluation
        self._evaluated_step = -1
        # While one of several data sets is evaluated.
        self._is_part = False
        self._evaluations_without_gain = resume.evaluations_without_gain if resume else 0

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Evaluate; several data sets make one point of the curves, whose eval_loss is the mean of theirs."""
        sets = self.eval_dataset
        if eval_dataset is not None or not isinstance(sets, dict):
            return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
        metrics: dict[str, float] = {}
        losses: list[float] = []
        self._is_part = True
        try:
            for name, examples in sets.items():
                prefix = f"{metric_key_prefix}_{name}"
                metrics |= super().evaluate(examples, ignore_keys, prefix)
                losses.append(metrics[f"{prefix}_loss"])
        finally:
            self._is_part = False
        metrics[f"{metric_key_prefix}_loss"] = math.fsum(losses) / len(losses)
        self.log(metrics)
        return metrics

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Return what an evaluation measures; the stock loop averages batches, however short the last one is."""
        model = self._wrap_model(self.model, training=False)
        model.eval()
        metrics = self.evaluation_means(model, dataloader, metric_key_prefix)
        no_predictions: Any = None
        return EvalLoopOutput(no_predictions, None, metrics, len(dataloader.dataset))

    def evaluation_means(self, model: Any, dataloader: Any, prefix: str) -> dict[str, float]:
        """Return the mean loss per learned token and what is measured beside it; all ranks have to ask."""
        loss_sum, tokens = 0.0, 0.0
        token_metrics = self._evaluation.metrics
        token_metrics.start()
        for inputs in dataloader:
            self.stop.check()
            self.silence_filler(inputs)
            count = int(inputs["labels"][:, 1:].ne(-100).sum())
            loss, logits, _ = self.prediction_step(model, inputs, not token_metrics.wanted)
            if token_metrics.wanted:
                token_metrics.add(logits, inputs["labels"].to(logits.device))
            if count:
                loss_sum += float(loss) * count
                tokens += count
        loss_sum, tokens = map(sum, zip(*self.ranks.gather([loss_sum, float(tokens)]), strict=True))
        token_metrics.merge(self.ranks)
        mean_loss = loss_sum / tokens
        # exp overflows a float at 709; a loss like that is broken anyway.
        perplexity = math.exp(mean_loss) if mean_loss < 700 else math.inf
        return {
            f"{prefix}_loss": mean_loss,
            f"{prefix}_perplexity": perplexity,
            **token_metrics.result(prefix),
        }

    def _evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        """Evaluate, unless a stop comes first; then the checkpoint notes that this evaluation is still due."""
        self.reporter.phase("eval")
        try:
            metrics: dict[str, float] = super()._evaluate(*arguments, **options)
            self._evaluated_step = self.state.global_step
            self._make_up_for_a_missed_decision(metrics)
        except StopRequestedError:
            self.stopped = True
            self.control.should_evaluate = False
            self.control.should_save = True
            self.control.should_training_stop = True
            metrics = {}
        self.reporter.back_to_steps()
        return metrics

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Say whether this is the best model so far; save it then, and count the evaluations that it is not."""
        name = self.args.metric_for_best_model
        if name is None or not metrics:
            return False
        if (name if name.startswith("eval_") else f"eval_{name}") not in metrics:
            raise EvaluationError(
                f"metric_for_best_model: evaluations do not measure {name}",
                f"they measure {', '.join(each.removeprefix('eval_') for each in metrics if each != 'epoch')}",
            )
        is_best = super()._determine_best_metric(metrics, trial)
        self._evaluations_without_gain = 0 if is_best else self._evaluations_without_gain + 1
        if is_best and self._evaluation.keep_best:
            self.control.should_save = True
        if self.ended_early:
            self.control.should_training_stop = True
        return is_best

    @property
    def ended_early(self) -> bool:
        """Whether so many evaluations in a row brought no gain that training ends."""
        patience = self._evaluation.patience
        return patience is not None and self._evaluations_without_gain >= patience

    def _make_up_for_a_missed_decision(self, metrics: dict[str, float]) -> None:
        """Decide after an evaluation in front of the first step, which the base class leaves without consequence."""
        resume = self._resume
        if resume and resume.evaluation_due and self.state.global_step == resume.step:
            self._determine_best_metric(metrics, None)
            if self.ended_early:
                raise NothingLeftToTrain

    def _evaluation_due(self) -> bool:
        """Whether this step is one to evaluate at and that has not been done."""
        step = self.state.global_step
        if self._evaluated_step == step or self.args.eval_strategy == "no":
            return False
        if self.args.eval_strategy == "epoch":
            return float(self.state.epoch).is_integer()
        return step % self.state.eval_steps == 0 or step >= self.state.max_steps
