"""What torch and bitsandbytes of this Python can do here, as one line of JSON; run as a file, also where fttui is not."""

import json
import os
from importlib import metadata
from typing import Any

WORKERS_PACKAGES = ("transformers", "peft", "accelerate", "safetensors", "pyarrow")
MOST_WORDS = 300


def torch_report() -> dict[str, Any]:
    """Import torch and ask it."""
    try:
        import torch
    except Exception as error:  # noqa: BLE001 - a broken build raises anything, and the report is the place to say so
        return {"error": _words(error)}
    problem, count = "", 0
    try:
        count = torch.cuda.device_count()
        if count:
            # Seeing a card is not yet being able to compute on it.
            torch.ones(8, device="cuda").sum().item()
        elif torch.version.cuda:
            torch.zeros(1, device="cuda")
    except Exception as error:  # noqa: BLE001 - the same
        problem = _words(error)
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": _dotted(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
        "gpus": count,
        "cuda_problem": problem,
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "packages": {name: _version(name) for name in WORKERS_PACKAGES},
        "bitsandbytes": _bitsandbytes("cuda" if count and not problem else "cpu"),
    }


def _bitsandbytes(device: str) -> dict[str, Any]:
    """Pack and unpack a few weights: importing it says nothing about its library."""
    import torch

    version, problem = _version("bitsandbytes"), ""
    try:
        from bitsandbytes.functional import dequantize_4bit, quantize_4bit

        weights = torch.linspace(-1, 1, 256, device=device)
        packed, state = quantize_4bit(weights, quant_type="nf4")
        unpacked = dequantize_4bit(packed, state)
        if not torch.allclose(unpacked.float(), weights.float(), atol=0.2):
            problem = "what it unpacks is not what it packed"
    except Exception as error:  # noqa: BLE001 - the same
        problem = _words(error)
    return {"version": version, "problem": problem, "device": "GPU" if device == "cuda" else "CPU"}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _dotted(number: int | None) -> str | None:
    """cuDNN's 91002 as people write it."""
    if number is None:
        return None
    major, rest = (number // 10000, number % 10000) if number >= 90000 else (number // 1000, number % 1000)
    return f"{major}.{rest // 100}.{rest % 100}"


def _words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:MOST_WORDS]


if __name__ == "__main__":
    print(json.dumps(torch_report()))
