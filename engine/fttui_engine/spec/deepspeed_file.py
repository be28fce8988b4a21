"""The file that ``deepspeed:`` names: JSON in DeepSpeed's own words, where ``"auto"`` stands for what this run says."""

import json
from pathlib import Path
from typing import Any

from fttui_engine.errors import WrongRequestError

LARGEST_FILE_BYTES = 1_000_000
STAGES = (1, 2, 3)


def read_deepspeed_file(path: str) -> dict[str, Any]:
    """Return what a DeepSpeed file says; raises WrongRequestError where it is none that divides the training."""
    hint = "LLaMA-Factory's examples/deepspeed/ds_z2_config.json is one that works"
    try:
        if Path(path).stat().st_size > LARGEST_FILE_BYTES:
            raise WrongRequestError(f"{path} is too large to be a DeepSpeed configuration", hint)
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongRequestError(f"{path} cannot be read: {error.strerror or error}", hint) from error
    except json.JSONDecodeError as error:
        raise WrongRequestError(
            f"{path} is no JSON: {error.msg}, line {error.lineno} column {error.colno}", hint
        ) from error
    except (ValueError, RecursionError) as error:
        raise WrongRequestError(f"{path} is no JSON text: {error}", hint) from error
    zero = content.get("zero_optimization") if isinstance(content, dict) else None
    stage = zero.get("stage") if isinstance(zero, dict) else None
    if stage not in STAGES or isinstance(stage, bool):
        raise WrongRequestError(
            f"{path} divides nothing: its zero_optimization.stage has to be 1, 2 or 3, but is {stage!r}", hint
        )
    return dict(content)


def setting(content: dict[str, Any], name: str) -> Any:
    """Return the value behind a dotted name, ``None`` where the file has none."""
    value: Any = content
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def zero_stage(content: dict[str, Any]) -> int:
    """Return how much is divided: optimizer states (1), gradients too (2), weights too (3)."""
    return int(content["zero_optimization"]["stage"])
