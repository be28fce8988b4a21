"""Blocks of keys that articles and other projects' files have, read as the single keys that they stand for."""

from typing import NamedTuple

from fttui_engine.spec.nodes import Block, Items, Node, Scalar


class Read(NamedTuple):
    """What one line of a block is read as: a key of ours, or nothing and why."""

    path: str
    key: str | None
    node: Node
    line: int
    why: str


# Blocks that only group keys.
GROUPING = frozenset(
    {
        *("model", "model_args", "data", "data_args", "dataset", "training", "train", "train_args"),
        *("training_args", "finetuning", "finetuning_args", "method", "lora", "peft", "quantization"),
        *("evaluation", "eval", "distributed", "output", "optimizer", "scheduler", "generating_args"),
    }
)
# Names that are only clear inside of their block: (block, name): key.
INSIDE: dict[tuple[str, str], str] = {
    ("model", "name"): "model_name_or_path",
    ("model", "path"): "model_name_or_path",
    ("dataset", "name"): "dataset",
    ("dataset", "path"): "dataset",
    ("data", "path"): "dataset",
    ("data", "train"): "dataset",
    ("data", "eval"): "eval_dataset",
    ("lora", "r"): "lora_rank",
    ("lora", "rank"): "lora_rank",
    ("lora", "alpha"): "lora_alpha",
    ("lora", "dropout"): "lora_dropout",
    ("lora", "target"): "lora_target",
    ("peft", "r"): "lora_rank",
    ("quantization", "bits"): "quantization_bit",
    ("quantization", "bit"): "quantization_bit",
    ("quantization", "method"): "quantization_method",
    ("quantization", "type"): "quantization_type",
    ("evaluation", "strategy"): "eval_strategy",
    ("evaluation", "steps"): "eval_steps",
    ("evaluation", "batch_size"): "per_device_eval_batch_size",
    ("evaluation", "dataset"): "eval_dataset",
    ("eval", "strategy"): "eval_strategy",
    ("eval", "steps"): "eval_steps",
    ("eval", "batch_size"): "per_device_eval_batch_size",
    ("eval", "dataset"): "eval_dataset",
    ("output", "dir"): "output_dir",
    ("optimizer", "name"): "optim",
    ("optimizer", "type"): "optim",
    ("optimizer", "lr"): "learning_rate",
    ("scheduler", "name"): "lr_scheduler_type",
    ("scheduler", "type"): "lr_scheduler_type",
}
_STARTS_ALL = "fttui starts all processes itself and gives them their ranks and address"
# Names inside of a block that have no key: (block, name): why.
WITHOUT_KEY: dict[tuple[str, str], str] = {
    ("distributed", "enabled"): "the number of GPUs says it",
    ("distributed", "rank"): _STARTS_ALL,
    ("distributed", "local_rank"): _STARTS_ALL,
    ("distributed", "node_rank"): _STARTS_ALL,
    ("distributed", "master_addr"): _STARTS_ALL,
    ("distributed", "master_port"): _STARTS_ALL,
    ("distributed", "backend"): "nccl is used on GPUs and gloo on CPUs",
    ("distributed", "init_method"): _STARTS_ALL,
}
# What an evaluation can measure: name: (key, value, why).
METRICS: dict[str, tuple[str | None, str, str]] = {
    "loss": (None, "", "every evaluation measures it"),
    "perplexity": (None, "", "every evaluation measures it"),
    "accuracy": ("compute_accuracy", "true", "the share of tokens that are guessed right"),
    "rouge": (None, "", "`fttui predict RUN` measures it on the trained model"),
    "bleu": (None, "", "`fttui predict RUN` measures it on the trained model"),
}
LOCAL_ADDRESSES = frozenset({"", "localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104


def unfold(name: str, block: Block, prefix: str = "") -> list[Read]:
    """Return what the lines of a foreign block are read as, blocks within it included."""
    path = prefix + name
    if name == "distributed" and _is_off(block):
        return [Read(path, None, block, block.line, "it is switched off")]
    found: list[Read] = []
    for key, node in block.entries:
        inner = key.text
        if isinstance(node, Block) and inner in GROUPING:
            found += unfold(inner, node, f"{path}.")
        elif name in ("evaluation", "eval") and inner in ("metrics", "metric"):
            found += _metrics(f"{path}.{inner}", node, key.line)
        elif name == "distributed" and inner in ("world_size", "num_processes", "nproc_per_node"):
            found.append(_world(path, inner, node, key.line, block))
        elif (name, inner) in WITHOUT_KEY:
            found.append(Read(f"{path}.{inner}", None, node, key.line, WITHOUT_KEY[name, inner]))
        else:
            current = INSIDE.get((name, inner), inner)
            found.append(Read(f"{path}.{inner}", current, node, key.line, "keys stand side by side here"))
    return found


def _word(block: Block, name: str) -> str:
    return next(
        (node.text.lower() for key, node in block.entries if key.text == name and isinstance(node, Scalar)),
        "",
    )


def _is_off(block: Block) -> bool:
    return _word(block, "enabled") in ("false", "no", "off", "0")


def _world(path: str, inner: str, node: Node, line: int, block: Block) -> Read:
    """The number of processes: GPUs of this host, or hosts where the address is another one's."""
    if _word(block, "master_addr") in LOCAL_ADDRESSES or inner == "nproc_per_node":
        return Read(f"{path}.{inner}", "run.gpus", node, line, "one process for each GPU of this host")
    why = "one process on each host, as master_addr is not this one"
    return Read(f"{path}.{inner}", "run.nodes", node, line, why)


def _metrics(path: str, node: Node, line: int) -> list[Read]:
    items = node.items if isinstance(node, Items) else [node]
    found: dict[str, Read] = {}
    for item in items:
        text = item.text if isinstance(item, Scalar) else ""
        word = next((metric for metric in METRICS if text.lower().startswith(metric)), None)
        if word is None:
            why = (
                "docs/configuration.md has what can be measured; compute_metrics takes a function of your own"
            )
            found[text] = Read(f"{path}: {text}", None, item, line, why)
            continue
        key, value, why = METRICS[word]
        found[key or text] = Read(f"{path}: {text}", key, Scalar(value, line), line, why)
    return list(found.values())
