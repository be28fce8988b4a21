"""``fttui check``: what is wrong with a configuration, before anything starts."""

import json
import sys
from argparse import Namespace
from pathlib import Path

from fttui.cli.memory_lines import Experience, experience_with, memory_lines
from fttui_engine.errors import ExitCode, WrongRequestError
from fttui_engine.launch.disk_room import disk_rooms
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.memory import MemoryRecord
from fttui_engine.spec.check import CheckReport, check
from fttui_engine.spec.load import resolve


def run(args: Namespace) -> int:
    """Print the verdict; the exit code says whether the configuration can be started."""
    if args.config is None and args.profile is None:
        raise WrongRequestError("there is nothing to check", "name a CONFIG or a --profile")
    config = None if args.config is None else Path(args.config)
    report = check(resolve(config, profile=args.profile, overrides=args.set))
    experience = experience_with(report.memory, _probe(report) if args.probe else None)
    if args.json:
        verdict = report.to_json()
        verdict["memory"] |= experience.to_json(report.memory)
        verdict["disk"] = [room.to_json() for room in disk_rooms(report.resolved)]
        print(json.dumps(verdict, indent=1))
    else:
        _print_verdict(report, experience, f"profile {args.profile}" if config is None else str(config))
    return ExitCode.DONE if report.ok else ExitCode.WRONG_REQUEST


def _probe(report: CheckReport) -> MemoryRecord | None:
    """Measure; what is wrong with the configuration is said by the verdict, and nothing is measured then."""
    if not report.ok:
        return None
    from fttui_engine.launch.probe import probe

    print("fttui: three steps are trained on the longest examples to measure their memory", file=sys.stderr)
    return probe(report.resolved)


def _print_verdict(report: CheckReport, experience: Experience, name: str) -> None:
    findings = report.resolved.findings
    lines = [
        *(f"error: {finding.message}" for finding in findings.errors),
        *(f"warning: {finding.message}" for finding in findings.warnings),
        *(f"read as: {item.old} -> {item.new}{_line(item.line)}: {item.why}" for item in findings.translated),
        *(f"no effect: {item.key}{_line(item.line)}: {item.why}" for item in findings.ignored),
    ]
    for line in lines:
        print(one_line(line))
    for line in memory_lines(report.memory, experience):
        print(one_line(line))
    for room in disk_rooms(report.resolved):
        if room.warning:
            print(one_line(f"warning: {room.warning}"))
    if report.ok:
        but = ", but is predicted to run out of memory" if report.memory.fits is False else ""
        print(one_line(f"{name} can be started{but}."))
    else:
        count = len(findings.errors)
        print(one_line(f"{name} cannot be started: {count} error{'s' if count > 1 else ''}."))


def _line(line: int | None) -> str:
    return "" if line is None else f" (line {line})"
