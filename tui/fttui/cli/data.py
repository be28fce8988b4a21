"""``fttui data``: what a configuration's data is made of, before anything is trained on it."""

import json
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from fttui_engine.errors import ExitCode, WrongRequestError
from fttui_engine.launch.data_report import report_data
from fttui_engine.runs.logs import one_line, plain_text
from fttui_engine.spec.load import resolve

_BAR_WIDTH = 40
_LEARNED, _MASKED, _PLAIN = "\x1b[32m", "\x1b[2m", "\x1b[0m"


def run(args: Namespace) -> int:
    """Print counts, lengths, repetitions, and some examples with what is learned of them."""
    if args.config is None and args.profile is None:
        raise WrongRequestError("there is nothing to look at", "name a CONFIG")
    config = None if args.config is None else Path(args.config)
    resolved = resolve(config, profile=args.profile, overrides=args.set)
    report = report_data(resolved, args.examples)
    if args.json:
        print(json.dumps(report, indent=1))
        return ExitCode.DONE
    for line in [*report["log"], *_split_lines("train", report["train"]), *_evaluation_lines(report)]:
        print(one_line(line))
    print(one_line(_steps_line(report["steps"])))
    in_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for name, examples in report["shown"].items():
        for number, pieces in enumerate(examples, start=1):
            print(f"\n{one_line(name)}, example {number} (learned text is {_marks(in_colour)}):")
            print(_text(pieces, in_colour))
    return ExitCode.DONE


def _evaluation_lines(report: dict[str, Any]) -> list[str]:
    return [line for name, split in report["evaluation"].items() for line in _split_lines(name, split)]


def _split_lines(name: str, split: dict[str, Any]) -> list[str]:
    length = split["length"]
    learned = 100 * split["learned_tokens"] / max(1, split["tokens"])
    lines = [
        f"{name}: {split['examples']} examples, {split['tokens']} tokens, {learned:.0f} % of them learned",
        f"  length in tokens: half have at most {length['p50']}, 95 % at most {length['p95']}, the longest "
        f"{length['max']} (cutoff_len {length['cutoff_len']})",
    ]
    most = max((bar["examples"] for bar in length["histogram"]), default=1)
    for bar in length["histogram"]:
        width = -(-bar["examples"] * _BAR_WIDTH // most)
        lines.append(
            f"  {bar['from']:>7} - {bar['to']:<7} {'#' * width:<{_BAR_WIDTH}} {bar['examples']}".rstrip()
        )
    if split.get("repeated"):
        lines.append(f"warning: examples of {name} that repeat another one exactly: {split['repeated']}")
    if split.get("also_in_train"):
        lines.append(
            f"warning: examples of {name} that are in train too, so that its loss looks too good: "
            f"{split['also_in_train']}"
        )
    return lines


def _steps_line(steps: dict[str, Any]) -> str:
    return (
        f"steps: {steps['examples']} examples, {steps['per_step']} per step, {steps['steps_per_epoch']} steps per "
        f"epoch; {steps['steps']} steps are {steps['epochs']:g} epochs"
    )


def _marks(in_colour: bool) -> str:
    return "green" if in_colour else "in [[ ]]"


def _text(pieces: list[dict[str, Any]], in_colour: bool) -> str:
    """Return an example as text; data may hold control sequences, which must not reach the terminal."""
    parts: list[str] = []
    before = None
    for piece in pieces:
        if before not in (None, piece["part"]):
            parts.append(f"\n--- {piece['part']} ---\n")
        before = piece["part"]
        text = plain_text(piece["text"])
        if in_colour:
            parts.append(f"{_LEARNED if piece['learned'] else _MASKED}{text}{_PLAIN}")
        else:
            parts.append(f"[[{text}]]" if piece["learned"] else text)
    return "".join(parts)
