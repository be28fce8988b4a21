"""What a run's checkpoints and its result take on disk."""

import math
from typing import Any

from fttui_engine.spec.memory.model_shape import ModelShape
from fttui_engine.spec.memory.optimizer_states import optimizer_bytes
from fttui_engine.spec.memory.peak import weights_bytes
from fttui_engine.spec.memory.workload import Workload

# A tokenizer.json: 134 bytes a word in Llama 3's (128,256 words), 126 in Gemma's (262,144), fewer in older ones.
TOKENIZER_BYTES_PER_WORD = 134
# Configuration, trainer state, random states of some ranks and the manifest.
SMALL_FILES_BYTES = 200_000
# Older ones are removed after the new one is whole, and two are always kept.
LEAST_KEPT = 2


def checkpoint_bytes(shape: ModelShape, work: Workload) -> int:
    """One checkpoint: the adapter or the whole model, and the optimizer's states of what is trained."""
    return _saved_bytes(shape, work) + optimizer_bytes(work) + _small_files_bytes(shape)


def disk_bytes(shape: ModelShape, work: Workload, values: dict[str, Any]) -> int | None:
    """All that lies on the disk at the worst moment; None where only the data decide how many checkpoints there are."""
    count = checkpoints_at_once(values)
    return None if count is None else result_bytes(shape, work) + count * checkpoint_bytes(shape, work)


def result_bytes(shape: ModelShape, work: Workload) -> int:
    """The trained model or adapter, in the output folder itself."""
    return _saved_bytes(shape, work) + _small_files_bytes(shape)


def checkpoints_at_once(values: dict[str, Any]) -> int | None:
    """How many checkpoints lie side by side at the worst moment; None where only the data decide."""
    written, limit = _written(values), values.get("save_total_limit")
    kept = None if limit is None else max(limit, LEAST_KEPT) + 1
    return min((count for count in (written, kept) if count is not None), default=None)


def _small_files_bytes(shape: ModelShape) -> int:
    return SMALL_FILES_BYTES + TOKENIZER_BYTES_PER_WORD * shape.vocabulary


def _saved_bytes(shape: ModelShape, work: Workload) -> int:
    """An adapter is saved by itself; full and freeze training save the whole model."""
    return work.trained_bytes if work.is_lora else weights_bytes(shape, work)


def _written(values: dict[str, Any]) -> int | None:
    """How many checkpoints a run writes that nobody stops; None where that depends on the data."""
    strategy: str = values["save_strategy"]
    steps: int = values["max_steps"]
    every: float = values["save_steps"]
    if strategy == "no":
        return 0
    if strategy == "steps" and every < 1:
        return math.ceil(1 / every)
    if strategy == "steps" and steps > 0:
        return math.ceil(steps / every)
    return math.ceil(float(values["num_train_epochs"])) if strategy == "epoch" and steps < 0 else None
