"""What an evaluation says beside the loss: how many tokens were foretold right, and a user's own function."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

from fttui_engine.spec.dotted_name import split_dotted_name
from fttui_engine.train.data.tokenise import IGNORED_LABEL
from fttui_engine.train.errors import EvaluationError
from fttui_engine.train.ranks.group import Ranks

MetricFunction = Callable[[Any], Any]


def find_metric_function(dotted_name: str) -> MetricFunction:
    """Return the user's function behind ``module.function`` or ``file.py:function``; raises EvaluationError."""
    module_name, function_name = split_dotted_name(dotted_name)
    try:
        module = _from_file(module_name) if module_name.endswith(".py") else _from_path(module_name)
        function = getattr(module, function_name)
    except Exception as error:  # the module is the user's, and may fail in any way
        raise EvaluationError(
            f"compute_metrics: {dotted_name} cannot be imported: {type(error).__name__}: {error}",
            "give module.function, or file.py:function seen from the folder where the run was started",
        ) from error
    if not callable(function):
        raise EvaluationError(f"compute_metrics: {dotted_name} is no function", "name a function")
    return function  # type: ignore[no-any-return]


def _from_path(module_name: str) -> Any:
    # Behind everything else: a random.py in the user's folder must not shadow the libraries.
    if (folder := os.getcwd()) not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(module_name)


def _from_file(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("fttui_user_metrics", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TokenMetrics:
    """Counts over one evaluation; takes the logits of a batch and keeps of them what was foretold, 4 bytes a token."""

    def __init__(self, *, accuracy: bool, function: MetricFunction | None) -> None:
        self._accuracy = accuracy
        self._function = function
        self._predictions: list[Any] = []
        self._labels: list[Any] = []
        self._right = self._learned = 0

    @property
    def wanted(self) -> bool:
        """Whether anything needs the logits; without them an evaluation needs less memory."""
        return self._accuracy or self._function is not None

    def start(self) -> None:
        """Forget the last evaluation."""
        self._predictions, self._labels = [], []
        self._right = self._learned = 0

    def add(self, logits: Any, labels: Any) -> None:
        """Take one batch: the token that was likeliest at each place, and the labels."""
        if isinstance(logits, tuple):
            logits = logits[0]
        foretold = logits.argmax(dim=-1)
        learned = labels[:, 1:].ne(IGNORED_LABEL)
        self._right += int((foretold[:, :-1].eq(labels[:, 1:]) & learned).sum())
        self._learned += int(learned.sum())
        if self._function is not None:
            # Rows in which nothing is learned only fill up the batch of a rank.
            real = learned.any(1)
            self._predictions.append(foretold[real].int().cpu().numpy())
            self._labels.append(labels[real].int().cpu().numpy())

    def merge(self, ranks: Ranks) -> None:
        """Make the counts those of all ranks; all of them have to call."""
        if ranks.count == 1 or not self.wanted:
            return
        counts = zip(*ranks.gather([float(self._right), float(self._learned)]), strict=True)
        self._right, self._learned = (int(sum(each)) for each in counts)
        # In the same order on every rank, since all of them decide by these numbers.
        parts = ranks.gather_objects((self._predictions, self._labels))
        self._predictions = [batch for predictions, _ in parts for batch in predictions]
        self._labels = [batch for _, labels in parts for batch in labels]

    def result(self, prefix: str) -> dict[str, float]:
        """Return the numbers, their names beginning with ``prefix``."""
        numbers: dict[str, float] = {}
        if self._accuracy and self._learned:
            numbers["accuracy"] = self._right / self._learned
        if self._function is not None:
            numbers |= self._own_numbers(self._function)
        return {
            name if name.startswith(prefix) else f"{prefix}_{name}": each for name, each in numbers.items()
        }

    def _own_numbers(self, function: MetricFunction) -> dict[str, float]:
        from transformers.trainer_utils import EvalPrediction

        together = EvalPrediction(predictions=_stack(self._predictions), label_ids=_stack(self._labels))
        try:
            answer = function(together)
            return {str(name): float(number) for name, number in dict(answer).items()}
        except Exception as error:  # the function is the user's, and may fail in any way
            raise EvaluationError(
                f"the function of compute_metrics failed: {type(error).__name__}: {error}",
                "it takes transformers' EvalPrediction and returns a table of names and numbers",
            ) from error


def _stack(batches: list[Any]) -> Any:
    """Return batches of different widths as one array, padded with IGNORED_LABEL."""
    import numpy

    width = max(batch.shape[1] for batch in batches)
    return numpy.concatenate(
        [
            numpy.pad(batch, ((0, 0), (0, width - batch.shape[1])), constant_values=IGNORED_LABEL)
            for batch in batches
        ]
    )
