"""The values of the ``run:`` block that are more than a word or a number."""

from typing import Any, NamedTuple, NoReturn

from fttui_engine.spec.findings import quoted
from fttui_engine.spec.keys import Key
from fttui_engine.spec.nodes import Block, Items, Node, Scalar
from fttui_engine.spec.values import MismatchError, plain_text, text_of

NAME_LENGTH = 64
ALLOWED_NAME = f"1 to {NAME_LENGTH} letters (a-z), digits, '.', '_' or '-', beginning with a letter or digit"
ALLOWED_GPUS = "a number of GPUs, a list of indices such as [0, 1], auto, or none"
ALLOWED_NODES = "a number of hosts, or a list of host names"
ALLOWED_RANK_BATCHES = "auto, or a list of whole numbers, one for each process, such as [4, 2]"
ALLOWED_PATIENCE = "a number of seconds (at least 1), auto, or off"
ALLOWED_ENVIRONMENT = "a block of NAME: text"
ALLOWED_COMMAND = "a list of words, such as [python, train.py]; nothing passes through a shell"
# The highest GPU index that is believed; NVIDIA's largest single system today shows 72.
MAX_GPU_INDEX = 1023
MAX_PATIENCE_SECONDS = 365 * 86400


class RunOptions(NamedTuple):
    """The ``run:`` block: what concerns the run and not the training."""

    name: str | None = None
    gpus: int | str | tuple[int, ...] = "auto"
    processes: int | None = None
    strategy: str = "auto"
    rank_batches: tuple[int, ...] | str | None = None
    nodes: int | tuple[str, ...] = 1
    min_nodes: int | None = None
    launcher: str = "local"
    slurm: dict[str, Any] | None = None
    restart: dict[str, Any] | None = None
    hang_seconds: float | str = "auto"
    divergence: str = "stop"
    log_max_bytes: int = 2**31
    resume_after_reboot: bool = False
    environment: dict[str, str] | None = None
    python: str | None = None
    command: tuple[str, ...] | None = None

    @property
    def process_count(self) -> int:
        """The number of processes that the configuration was written for: one per GPU, or as many as are named."""
        if isinstance(self.gpus, tuple):
            return len(self.gpus)
        if self.gpus == "auto" and self.launcher == "slurm" and (gres := (self.slurm or {}).get("gres")):
            from fttui_engine.spec.slurm_values import gres_gpus

            return gres_gpus(gres) or self.processes or 1
        return self.gpus if isinstance(self.gpus, int) else self.processes or 1

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> "RunOptions":
        """The options behind ``values["run"]``."""
        options: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**options)


def is_run_name(name: str) -> bool:
    """Whether ``name`` can name a run, a folder on every file system, and a word on every command line."""
    return (
        0 < len(name) <= NAME_LENGTH
        and name.isascii()
        and name[0].isalnum()
        and all(character.isalnum() or character in "._-" for character in name)
    )


def convert_run_value(key: Key, node: Node) -> Any:
    """The value of ``node`` for one of the special kinds of the ``run:`` block."""
    match key.kind:
        case "gpus":
            return _gpus(key, node)
        case "nodes":
            return _nodes(key, node)
        case "patience":
            return _patience(key, node)
        case "rank_batches":
            return _rank_batches(key, node)
        case "environment":
            return _environment(key, node)
        case "slurm_word" | "slurm_time" | "slurm_lines":
            from fttui_engine.spec.slurm_values import convert_slurm_value

            return convert_slurm_value(key, node)
        case _:
            return _command(key, node)


def _refuse(node: Node, allowed: str, suggestion: str | None = None) -> NoReturn:
    raise MismatchError(text_of(node), allowed, suggestion)


def _gpus(key: Key, node: Node) -> int | str | list[int]:
    if isinstance(node, Items):
        words = [plain_text(key, item).strip() for item in node.items]
    else:
        text = plain_text(key, node).strip()
        if text in ("auto", "none"):
            return text
        if text == "0":
            # One reader takes it for "no GPU", another for "GPU 0".
            raise MismatchError("'0'", ALLOWED_GPUS, "none, or [0] for the first GPU")
        if _is_index(text):
            return int(text)
        words = [word.strip() for word in text.split(",") if word.strip()] if "," in text else [text]
    if not words or not all(map(_is_index, words)):
        _refuse(node, ALLOWED_GPUS)
    gpus = [int(word) for word in words]
    if len(set(gpus)) != len(gpus):
        _refuse(node, ALLOWED_GPUS + ", each GPU once")
    return gpus


def _is_index(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 5 and int(word) <= MAX_GPU_INDEX


def _nodes(key: Key, node: Node) -> int | list[str]:
    if isinstance(node, Items):
        hosts = [plain_text(key, item) for item in node.items]
        # A host name that begins with "-" would be an option to ssh.
        if not hosts or any(not host or host.startswith("-") or " " in host for host in hosts):
            _refuse(node, ALLOWED_NODES)
        return hosts
    text = plain_text(key, node)
    if not _is_index(text) or int(text) == 0:
        _refuse(node, ALLOWED_NODES)
    return int(text)


def _patience(key: Key, node: Node) -> float | str:
    text = plain_text(key, node).strip()
    if text in ("auto", "off"):
        return text
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    # Not `seconds < 1`, which is False for nan.
    if not 1 <= seconds <= MAX_PATIENCE_SECONDS:
        _refuse(node, ALLOWED_PATIENCE, "off" if text in ("0", "false", "no", "none") else None)
    return int(seconds) if seconds.is_integer() else seconds


def _rank_batches(key: Key, node: Node) -> str | list[int]:
    if isinstance(node, Items):
        words = [plain_text(key, item).strip() for item in node.items]
    else:
        text = plain_text(key, node).strip()
        if text == "auto":
            return text
        words = [word.strip() for word in text.split(",")]
    if not words or not all(_is_index(word) and int(word) for word in words):
        _refuse(node, ALLOWED_RANK_BATCHES)
    return [int(word) for word in words]


def _environment(key: Key, node: Node) -> dict[str, str] | None:
    if not isinstance(node, Block):
        _refuse(node, ALLOWED_ENVIRONMENT)
    environment: dict[str, str] = {}
    for name, value in node.entries:
        if not (name.text.isidentifier() and name.text.isascii()):
            raise MismatchError(f"the name {quoted(name.text)}", "names of letters, digits and _")
        if name.text.startswith("FTTUI_"):
            raise MismatchError(
                f"the name {name.text}", "names that do not begin with FTTUI_, which are ours"
            )
        if name.text in environment:
            raise MismatchError(f"{name.text} twice", "each name once")
        if not isinstance(value, Scalar) or "\0" in value.text:
            raise MismatchError(f"{text_of(value)} for {name.text}", ALLOWED_ENVIRONMENT)
        environment[name.text] = "" if value.is_null else value.text
    return environment or None


def _command(key: Key, node: Node) -> list[str]:
    if isinstance(node, Scalar):
        suggestion = "[" + ", ".join(node.text.split()) + "]"
        _refuse(node, ALLOWED_COMMAND, suggestion if len(suggestion) < 80 else None)
    if not isinstance(node, Items) or not node.items:
        _refuse(node, ALLOWED_COMMAND)
    words = []
    for item in node.items:
        if not isinstance(item, Scalar) or "\0" in item.text:
            raise MismatchError(text_of(item), ALLOWED_COMMAND)
        words.append(item.text)
    if not words[0].strip():
        raise MismatchError("an empty program name", ALLOWED_COMMAND)
    return words
