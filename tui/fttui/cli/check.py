"""``fttui check``: what is wrong with a configuration, before anything starts."""

import json
from argparse import Namespace
from pathlib import Path

from fttui_engine.errors import ExitCode, WrongRequestError
from fttui_engine.runs.logs import one_line
from fttui_engine.spec.check import CheckReport, check
from fttui_engine.spec.load import resolve
from fttui_engine.spec.memory_report import MemoryReport
from fttui_engine.spec.memory_words import TERM_WORDS, change_text, gibibytes


def run(args: Namespace) -> int:
    """Print the verdict; the exit code says whether the configuration can be started."""
    if args.config is None and args.profile is None:
        raise WrongRequestError("there is nothing to check", "name a CONFIG or a --profile")
    config = None if args.config is None else Path(args.config)
    report = check(resolve(config, profile=args.profile, overrides=args.set))
    if args.json:
        print(json.dumps(report.to_json(), indent=1))
    else:
        _print_verdict(report, f"profile {args.profile}" if config is None else str(config))
    return ExitCode.DONE if report.ok else ExitCode.WRONG_REQUEST


def _print_verdict(report: CheckReport, name: str) -> None:
    findings = report.resolved.findings
    lines = [
        *(f"error: {finding.message}" for finding in findings.errors),
        *(f"warning: {finding.message}" for finding in findings.warnings),
        *(f"read as: {item.old} -> {item.new}{_line(item.line)}: {item.why}" for item in findings.translated),
        *(f"no effect: {item.key}{_line(item.line)}: {item.why}" for item in findings.ignored),
    ]
    for line in lines:
        print(one_line(line))
    for line in _memory_lines(report.memory):
        print(one_line(line))
    if report.ok:
        print(one_line(f"{name} can be started."))
    else:
        count = len(findings.errors)
        print(one_line(f"{name} cannot be started: {count} error{'s' if count > 1 else ''}."))


def _line(line: int | None) -> str:
    return "" if line is None else f" (line {line})"


def _memory_lines(memory: MemoryReport) -> list[str]:
    """The prediction as a small table, the verdict, and what to change."""
    if memory.prediction is None:
        return [f"memory: {memory.reason}"] if memory.reason else []
    on_cpu = "libraries" in memory.prediction.terms
    total = gibibytes(memory.prediction.predicted_bytes)
    where = "on this host" if on_cpu else "on each GPU"
    lines = [f"memory: {total} {where}, at the {memory.prediction.moment}:"]
    terms = sorted(memory.prediction.terms.items(), key=lambda term: -term[1])
    lines += [f"  {gibibytes(size):>10}  {TERM_WORDS[name]}" for name, size in terms]
    lines.append(f"  {_disk(memory)}")
    if memory.explanation:
        lines.append(f"memory: {memory.explanation}")
    elif memory.reason:
        lines.append(f"memory: whether it fits is not known. {memory.reason}")
    for advice in memory.advice:
        answer = "may just fit" if advice.is_tight else "fits" if advice.fits else "does not fit by itself"
        size = gibibytes(advice.predicted_bytes)
        lines.append(f"advice: {change_text(advice.changes)} -> {size}, {answer}; {advice.cost}")
    return lines


def _disk(memory: MemoryReport) -> str:
    each = f"a checkpoint takes {gibibytes(memory.checkpoint_bytes or 0)} of disk"
    if memory.disk_bytes is None:
        return f"{each}; how many there will be depends on the data (set save_total_limit)"
    return f"{each}, the run {gibibytes(memory.disk_bytes)}"
