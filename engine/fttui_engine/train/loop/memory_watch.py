"""The truth about memory: what one process was predicted to take, and the most that it took."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fttui_engine.runs.memory import CPU, MemoryRecord, write_memory
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.spec.memory.model_shape import UnknownShapeError
from fttui_engine.spec.memory.peak import CUDA_CONTEXT_BYTES
from fttui_engine.spec.memory.report import predict_for


class MemoryWatch:
    """Records a prediction when training begins and the measured peak when it ends."""

    def __init__(self, run_path: Path, record: MemoryRecord | None) -> None:
        self._run_path = run_path
        self.record = record

    @classmethod
    def begin(
        cls, config: TrainingConfig, examples: Sequence[Any], run_path: Path, *, processes: int
    ) -> "MemoryWatch":
        """Record what is predicted for the longest of these examples; of unknown models, nothing."""
        import torch

        on_cpu = config.use_cpu or not torch.cuda.is_available()
        longest = min(longest_example(examples), config.cutoff_len)
        device = CPU if on_cpu else torch.cuda.get_device_name()
        try:
            predicted = predict_for(config, cutoff_len=longest, on_cpu=on_cpu, processes=processes)
        except UnknownShapeError:
            return cls(run_path, None)
        record = MemoryRecord(
            device=device,
            predicted_bytes=predicted.prediction.predicted_bytes,
            source=os.environ.get("FTTUI_RUN", ""),
            model_type=predicted.model_type,
            strategy=predicted.strategy,
            longest_tokens=longest,
        )
        write_memory(run_path, record)
        return cls(run_path, record)

    def end(self, measured_bytes: int | None = None) -> None:
        """Record the peak, that of this process unless one is given; called after training, whatever was trained in it."""
        if self.record is None:
            return
        if measured_bytes is None:
            measured_bytes = peak_host_bytes() if self.record.device == CPU else _peak_gpu_bytes()
        self.record = self.record._replace(measured_bytes=measured_bytes)
        write_memory(self._run_path, self.record)


def peak_bytes(config: TrainingConfig) -> int:
    """Return the most memory that this process took, of the host or of its GPU."""
    import torch

    return peak_host_bytes() if config.use_cpu or not torch.cuda.is_available() else _peak_gpu_bytes()


def longest_example(examples: Sequence[Any]) -> int:
    """Return the tokens of the longest example, of pairs the longer answer's."""
    return max((example_tokens(example) for example in examples), default=0)


def example_tokens(example: Any) -> int:
    """Return the tokens of one example, of pairs the longer answer's."""
    # Stage kto has a mark beside the tokens: whether the answer is good.
    return max(len(values) for values in example if not isinstance(values, bool))


def peak_host_bytes() -> int:
    """Return the most memory that this process ever had resident."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _peak_gpu_bytes() -> int:
    """The most that torch reserved, and a CUDA context of the size that predictions allow for. Not measured by us."""
    import torch

    # Reserved memory only grows, so that the counter's resets after each logged step do not matter.
    return int(torch.cuda.max_memory_reserved()) + CUDA_CONTEXT_BYTES
