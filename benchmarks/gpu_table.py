"""On a GPU: tokens per second, model FLOPs utilisation, peak memory and the error of its prediction.

Models of the published sizes are made from their configurations with random weights, on the spot; nothing is
downloaded. Conversations are packed into full examples, so that all tokens are real.

    python benchmarks/gpu_table.py
    python benchmarks/gpu_table.py --model tiny --cutoff-len 128 --steps 4      (tries it out without a GPU)
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure
import workload
import yaml

# Dense bfloat16 without sparsity, from the data sheets of the makers.
PEAK_TERAFLOPS = {
    "H200": 989.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "RTX 4090": 165.0,
    "A10": 125.0,
    "T4": 65.0,
}
METHODS = ("lora", "qlora")


def values_of(model: Path, method: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the configuration of a run."""
    values = {
        "model_name_or_path": str(model),
        "dataset": str(model.parent / "data" / "questions.json"),
        "template": "chatml",
        "finetuning_type": "lora",
        "lora_rank": 16,
        "neat_packing": True,
        "cutoff_len": options.cutoff_len,
        "per_device_train_batch_size": options.batch,
        "gradient_checkpointing": not options.no_checkpointing,
        "bf16": bool(options.gpu),
        "max_steps": options.steps,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": not options.gpu,
    }
    return values | ({"quantization_bit": 4} if method == "qlora" else {})


def train(name: str, method: str, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train one model in one way through the command line and return the figures."""
    from fttui_engine.runs.memory import read_memory
    from fttui_engine.runs.metrics import read_metrics
    from fttui_engine.runs.run import Run

    config = work / f"{name}-{method}.yaml"
    config.write_text(yaml.safe_dump(values_of(work / name, method, options)))
    command = [sys.executable, "-m", "fttui", "start", str(config), "--wait", "--json"]
    environment = os.environ | {"FTTUI_HOME": str(work / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"model": name, "method": method, "failure": (done.stderr or done.stdout).strip()[-500:]}
    run = Run(Path(json.loads(done.stdout)["run_dir"]))
    # The first steps warm up kernels and allocators.
    points = [point for point in read_metrics(run.metrics_path) if "loss" in point][options.steps // 3 :]
    memory = read_memory(run.path)
    return {
        "model": name,
        "method": method,
        "tokens_per_second": statistics.median(point["tokens_per_second"] for point in points),
        "step_seconds": statistics.median(point["step_seconds"] for point in points),
        "flops_per_token": flops_per_token(work / name, options.cutoff_len),
        "peak_bytes": memory.measured_bytes if memory else None,
        "predicted_bytes": memory.predicted_bytes if memory else None,
    }


def flops_per_token(model: Path, length: int) -> float:
    """Return the model's FLOPs per trained token under LoRA; recomputed activations do not count.

    Each weight is used once forward and once backward, for the gradient of its input; frozen weights need no gradient
    of their own. Attention is counted over half of ``length``, as a token sees only what comes before it, and without
    regard to where one packed conversation ends.
    """
    config = json.loads((model / "config.json").read_text())
    hidden, layers, heads = (
        config[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")
    )
    head_width = config.get("head_dim") or hidden // heads
    attention = 2 * hidden * head_width * (heads + config["num_key_value_heads"])
    weights = layers * (attention + 3 * hidden * config["intermediate_size"]) + hidden * config["vocab_size"]
    forward_attention = layers * 4 * heads * head_width * length / 2
    return 4.0 * weights + 3.0 * forward_attention


def gpu_name() -> str:
    """Return the name of the first GPU, or nothing."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def peak_flops(options: argparse.Namespace) -> float | None:
    """Return what the GPU can do at the most, where that is known."""
    known = next((peak for part, peak in PEAK_TERAFLOPS.items() if part in options.gpu), None)
    peak = options.peak_teraflops or known
    return peak * 1e12 if peak else None


def row_of(result: dict[str, Any], peak: float | None) -> list[str]:
    """Return the line of a run; what is not known is a dash."""
    start = [result["model"], result["method"]]
    if "failure" in result:
        print(f"{start}: {result['failure']}", file=sys.stderr)
        return [*start, "failed", "-", "-", "-", "-"]
    rate = result["tokens_per_second"]
    measured, predicted = result["peak_bytes"], result["predicted_bytes"]
    return [
        *start,
        f"{rate:.0f}",
        f"{100 * rate * result['flops_per_token'] / peak:.0f} %" if peak else "-",
        f"{measured / 2**30:.2f}" if measured else "-",
        f"{predicted / 2**30:.2f}" if predicted else "-",
        f"{100 * (predicted / measured - 1):+.0f} %" if measured and predicted else "-",
    ]


def main() -> None:
    """Train every model in every way."""
    parser = measure.parser(__doc__)
    parser.add_argument("--model", action="append", choices=workload.MODELS, help="default: 1B, 4B and 8B")
    parser.add_argument("--method", action="append", choices=METHODS, help="default: both")
    parser.add_argument("--cutoff-len", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=4, help="full examples a step (default: 4)")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--no-checkpointing", action="store_true", help="keep all activations")
    parser.add_argument("--peak-teraflops", type=float, help="of a GPU that is not in the list")
    options = parser.parse_args()
    options.gpu = gpu_name()
    records = options.steps * options.batch * options.cutoff_len // 50 + 100
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).absolute()
        data = workload.make_data(work / "data", records)
        results = []
        for name in options.model or ("llama-3.2-1b", "qwen3-4b", "llama-3.1-8b"):
            workload.make_model(work / name, name, data)
            results += [train(name, method, work, options) for method in options.method or METHODS]
    headings = ["model", "method", "tokens/s", "MFU", "peak GiB", "predicted GiB", "error"]
    rows = [row_of(result, peak_flops(options)) for result in results]
    figures = {
        "gpu": options.gpu,
        "versions": measure.versions_of(sys.executable),
        "settings": {"cutoff_len": options.cutoff_len, "batch": options.batch, "steps": options.steps},
        "results": results,
    }
    print(options.gpu or "no GPU: this only tries the script out")
    measure.report(options, headings, rows, figures)


if __name__ == "__main__":
    main()
