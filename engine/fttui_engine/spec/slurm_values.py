"""The values of the ``run.slurm`` block: nothing that would end a line or a word of a batch script gets in."""

import re
from typing import NoReturn

from fttui_engine.spec.keys import Key
from fttui_engine.spec.nodes import Items, Node
from fttui_engine.spec.values import MismatchError, plain_text, text_of

ALLOWED_WORD = "a word of letters, digits and . _ , : @ + = / -"
ALLOWED_TIME = "a time as Slurm takes it: minutes, HH:MM:SS, D-HH or D-HH:MM:SS"
ALLOWED_LINES = "a list of options of sbatch, such as [--qos=high, --mem=64G]"

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,:@+=/-]{0,199}")
_TIME = re.compile(
    r"(?:(?P<days>\d{1,4})-(?P<hours>\d{1,2})(?::(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2}))?)?"
    r"|(?P<h>\d{1,5}):(?P<m>\d{1,2}):(?P<s>\d{1,2})|(?P<mm>\d{1,7})(?::(?P<ss>\d{1,2}))?)"
)
_OPTION = re.compile(r"(--[a-z][a-z-]*|-[A-Za-z])(?:[= ]\s*(.*))?")


def convert_slurm_value(key: Key, node: Node) -> str | list[str]:
    """The value of ``node`` for one of the kinds of the ``run.slurm`` block."""
    if key.kind == "slurm_lines":
        return _lines(key, node)
    text = plain_text(key, node).strip()
    if key.kind == "slurm_time":
        if limit_seconds(text) is None and text.upper() not in ("UNLIMITED", "INFINITE"):
            _refuse(node, ALLOWED_TIME)
    elif not _WORD.fullmatch(text):
        _refuse(node, ALLOWED_WORD)
    return text


def limit_seconds(text: str) -> int | None:
    """A time limit of Slurm's in seconds; None for none, or for a text that is no time."""
    if (match := _TIME.fullmatch(text)) is None:
        return None
    part = {name: int(value or 0) for name, value in match.groupdict().items()}
    hours = part["days"] * 24 + part["hours"] + part["h"]
    minutes = hours * 60 + part["minutes"] + part["m"] + part["mm"]
    return minutes * 60 + part["seconds"] + part["s"] + part["ss"]


def option_name(line: str) -> str:
    """The option that a line of ``run.slurm.extra`` sets, such as ``--mem``."""
    match = _OPTION.fullmatch(line)
    return match.group(1) if match else ""


def gres_gpus(gres: str) -> int:
    """How many GPUs a text such as ``gpu:a100:2`` or ``gpu`` asks for; 0 for none."""
    count = 0
    for part in gres.split(","):
        name, *rest = part.partition("=")[0].split("(")[0].split(":")
        if name == "gpu":
            count += int(rest[-1]) if rest and rest[-1].isdigit() else 1
    return count


def _lines(key: Key, node: Node) -> list[str]:
    texts = (
        [plain_text(key, item) for item in node.items] if isinstance(node, Items) else [plain_text(key, node)]
    )
    lines = [text.strip().removeprefix("#SBATCH").strip() for text in texts]
    for line in lines:
        if not _OPTION.fullmatch(line) or "\\" in line or "\t" in line:
            raise MismatchError(repr(line[:80]), ALLOWED_LINES)
    return lines


def _refuse(node: Node, allowed: str) -> NoReturn:
    raise MismatchError(text_of(node), allowed)
