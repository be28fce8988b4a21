"""What the machines have, and what was found about them, as lines of text."""

import shutil

from fttui_engine.doctor.finding import Finding
from fttui_engine.nodes.checks_alone import size
from fttui_engine.nodes.facts import Facts
from fttui_engine.nodes.preflight import SUBJECTS, Report
from fttui_engine.runs.logs import one_line

SIGNS = {"ok": "ok", "note": "note", "warning": "WARN", "problem": "FAIL"}
SEVERITY = ("ok", "note", "warning", "problem")
SUBJECT_CELLS = 12
LEAST_CELLS = 11


def probe_rows(machines: list[Facts]) -> list[tuple[str, ...]]:
    """A table of what each machine has."""
    rows: list[tuple[str, ...]] = [
        ("NAME", "ADDRESS", "GPUS", "CPUS", "MEMORY", "DISK FREE", "PYTHON", "TORCH", "FTTUI")
    ]
    for facts in machines:
        names = [gpu["name"] or "?" for gpu in facts.gpus]
        disk, has = facts.said["disk"] or {}, facts.packages
        rows.append(
            (
                facts.machine.name,
                facts.address or "?",
                ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names)) or "none",
                str(facts.said["cpus"]),
                size(facts.said["memory"]["total_bytes"]),
                size(disk["free_bytes"]) if "free_bytes" in disk else "?",
                has.get("python") or "?",
                has.get("torch") or "-",
                has.get("fttui") or "-",
            )
        )
    return rows


def print_report(report: Report) -> None:
    """Print a table of checks and machines, then a sentence and a fix for everything that is not well."""
    for line in table(report.findings, shutil.get_terminal_size().columns):
        print(one_line(line))
    for level in reversed(SEVERITY[1:]):
        for name, findings in report.findings.items():
            for each in (each for each in findings if each.level == level):
                print(one_line(f"{SIGNS[level]:<4}  {name}  {each.subject}: {each.text}"))
                if each.fix:
                    print(one_line(f"      -> {each.fix}"))
    if report.exchange_seconds is not None and report.gradient_bytes is not None:
        seconds = report.exchange_seconds
        waits = f"about {seconds:.1f} s" if seconds >= 0.1 else "less than 0.1 s"
        gradients = size(report.gradient_bytes)
        print(f"Each step exchanges {gradients} of gradients, which takes {waits} on the slowest link.")
    count = len(report.findings)
    those = "this machine" if count == 1 else f"these {count} machines"
    if report.ok:
        print(f"Nothing prevents a training on {those}; looked at in {report.seconds:.1f} s.")
    else:
        print(f"What is marked FAIL prevents a training on {those}.")


def table(findings: dict[str, list[Finding]], columns: int) -> list[str]:
    """One line per check and one column per machine; more machines than fit stand in further tables below."""
    cells = max(LEAST_CELLS, *(len(name) + 2 for name in findings))
    at_once = max(1, (columns - SUBJECT_CELLS) // cells)
    names = list(findings)
    told = {each.subject for found in findings.values() for each in found}
    lines = []
    for start in range(0, len(names), at_once):
        shown = names[start : start + at_once]
        lines.append(" " * SUBJECT_CELLS + "".join(name.ljust(cells) for name in shown).rstrip())
        for subject in (each for each in SUBJECTS if each in told):
            row = "".join(_cell(findings[name], subject).ljust(cells) for name in shown)
            lines.append(f"{subject:<{SUBJECT_CELLS}}{row}".rstrip())
    return lines


def _cell(findings: list[Finding], subject: str) -> str:
    if subject == "link" and (told := [each for each in findings if each.subject == subject]):
        return told[0].text.partition(" with")[0] if told[0].level == "ok" else SIGNS[told[0].level]
    levels = [each.level for each in findings if each.subject == subject]
    return SIGNS[max(levels, key=SEVERITY.index)] if levels else "-"
