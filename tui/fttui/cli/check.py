"""``fttui check``: what is wrong with a configuration, before anything starts."""

import json
from argparse import Namespace
from pathlib import Path

from fttui_engine.errors import ExitCode, WrongRequestError
from fttui_engine.runs.logs import one_line
from fttui_engine.spec.check import CheckReport, check
from fttui_engine.spec.load import resolve


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
    if report.ok:
        print(one_line(f"{name} can be started."))
    else:
        count = len(findings.errors)
        print(one_line(f"{name} cannot be started: {count} error{'s' if count > 1 else ''}."))


def _line(line: int | None) -> str:
    return "" if line is None else f" (line {line})"
