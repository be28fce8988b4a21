"""``fttui doctor``: what of this machine would stand in the way of training, each with what to do about it."""

import json
import sys
from argparse import Namespace

from fttui.terminal_findings import look_at_terminal
from fttui_engine.doctor.checks import all_checks
from fttui_engine.doctor.examination import Examination
from fttui_engine.doctor.finding import Check, Finding, Health, health
from fttui_engine.runs.logs import one_line

SIGNS = {"ok": " ok ", "note": "note", "warning": "WARN", "problem": "FAIL"}
VERDICTS = {
    Health.WELL: "Nothing stands in the way.",
    Health.WARNINGS: "Training works; what is marked WARN may bite.",
    Health.CANNOT_TRAIN: "What is marked FAIL prevents training.",
}
SUBJECT_CELLS = 14


def run(args: Namespace) -> int:
    """Look at everything, print it, and exit with how well it is."""
    examination = Examination([*all_checks(args.python), Check("terminal", look_at_terminal)])
    if sys.stderr.isatty() and not args.json:
        print("looking; torch and a sleeping GPU driver may take half a minute ...", file=sys.stderr)
    try:
        findings = [_harmless(each) for each in examination.wait()]
    finally:
        examination.close()
    verdict = health(findings)
    if args.json:
        answer = {"health": verdict.name.lower(), "findings": [each._asdict() for each in findings]}
        print(json.dumps(answer, indent=1))
        return verdict
    for each in findings:
        print(f"{SIGNS[each.level]}  {each.subject:<{SUBJECT_CELLS}} {each.text}")
        if each.fix:
            print(f"{'':<{SUBJECT_CELLS + 6}} -> {each.fix}")
    print(VERDICTS[verdict])
    return verdict


def _harmless(finding: Finding) -> Finding:
    return finding._replace(text=one_line(finding.text), fix=one_line(finding.fix))
