"""What the table says of one key.

NamedTuples, because this package is on the path of ``fttui start``: importing ``dataclasses`` alone costs as much CPU
time as starting the interpreter (11 ms).
"""

from typing import Any, Literal, NamedTuple

Kind = Literal[
    "text",
    "path",
    "flag",
    "whole",  # an integer
    "number",
    "choice",
    "texts",  # a list, or a text with commas
    "interval",  # a number of steps, or a fraction of the run below 1
    "amount",  # a number of examples, or a fraction of them below 1
    "gpus",
    "nodes",
    "environment",
    "command",
    "rank_batches",  # auto, or a list of whole numbers
    "patience",  # a number of seconds, auto or off
    "slurm_word",
    "slurm_time",
    "slurm_lines",  # options of sbatch
    "settings",  # a block of NAME: number, or NAME=number,NAME=number
]


class Key(NamedTuple):
    """One key of the configuration; names of the ``run:`` block are written with dots."""

    name: str
    kind: Kind
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
