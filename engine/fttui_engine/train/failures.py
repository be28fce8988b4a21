"""From an exception to what ``outcome.json`` says: a class of failure, a sentence, and which keys to change."""

import errno
import re
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fttui_engine.errors import FttuiError
from fttui_engine.runs.home import state_home
from fttui_engine.spec.config import TrainingConfig

# What gloo and NCCL say of a peer that is gone.
_LOST_RANK = re.compile(
    r"Connection (?:closed|reset) by (?:remote )?peer|ncclRemoteError|pair\.cc.*Broken pipe"
)


class Failure(NamedTuple):
    """Why training failed, for a person."""

    kind: str
    message: str
    advice: str


def explain(error: BaseException, config: TrainingConfig | None) -> Failure:
    """Return what an exception means; ``config`` lends the present values of the keys to change."""
    if isinstance(error, FttuiError):
        return Failure(getattr(error, "kind", "error"), _sentence(error.message), _sentence(error.hint))
    name, text = type(error).__name__, _first_line(error)
    if name == "OutOfMemoryError" or "CUDA out of memory" in text:
        return Failure("oom_cuda", f"The GPU ran out of memory: {text}", _memory_advice(config))
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        return Failure("oom_host", "The machine ran out of memory.", _memory_advice(config))
    if is_disk_full(error):
        return Failure("disk_full", f"The disk is full: {text}", _space_advice(config))
    if _LOST_RANK.search(text):
        message = f"The connection to another rank broke, whose process or network ended: {text}"
        return Failure("rank_lost", message, "The log of that rank has the cause.")
    if isinstance(error, ImportError):
        return Failure("environment", f"A package is missing: {text}", "Install it, then start again.")
    return Failure("error", f"{name}: {text}" if text else name, f"The log has the details: {_where(error)}")


def is_disk_full(error: BaseException) -> bool:
    """Whether an exception comes from a full disk or quota; torch and safetensors hide the error number."""
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        text = str(each)
        if "No space left on device" in text or "Disk quota exceeded" in text:
            return True
        # What torch.save says on a full disk (measured on a 24 MB tmpfs).
        if isinstance(each, RuntimeError) and ("inline_container" in text or "iostream error" in text):
            return True
    return False


def _memory_advice(config: TrainingConfig | None) -> str:
    if config is None:
        return "Choose a smaller model."
    steps: list[str] = []
    size = config.per_device_train_batch_size
    if size > 1:
        steps.append(
            f"lower per_device_train_batch_size from {size} to {size // 2} and raise gradient_accumulation_steps "
            f"from {config.gradient_accumulation_steps} to {2 * config.gradient_accumulation_steps}, which trains "
            "the same"
        )
    if not config.gradient_checkpointing:
        steps.append("set gradient_checkpointing: true")
    steps.append(f"lower cutoff_len from {config.cutoff_len}")
    if config.finetuning_type not in ("lora", "oft"):
        steps.append("set finetuning_type: lora")
    return _sentence("; or ".join(steps))


def _space_advice(config: TrainingConfig | None) -> str:
    """Each folder that training writes to with its free space, since what fails seldom says where it wrote."""
    folders = [state_home(), *([Path(config.output_dir)] if config and config.output_dir else [])]
    free = []
    for folder in folders:
        there = next(each for each in (folder, *folder.parents) if each.exists())
        free.append(f"{shutil.disk_usage(there).free / 1e6:,.0f} MB in {folder}")
    return f"Free some space, then resume; now there are {' and '.join(free)}."


def _chain(error: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__ or each.__context__


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else ""


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"it happened in {frames[-1].name}, {frames[-1].filename}:{frames[-1].lineno}." if frames else "."


def _sentence(text: str) -> str:
    text = text.strip()
    if text.partition(" ")[0].isalpha():
        text = text[0].upper() + text[1:]
    return text if not text or text[-1] in ".!?" else text + "."
