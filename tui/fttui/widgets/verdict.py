"""What `fttui check` found, as lines: errors first, each with its place and what to do."""

from collections.abc import Mapping, Sequence
from typing import Any

from fttui import figures
from fttui.lines import Line, Role, Span, line, rule, wrap
from fttui.widgets.line_panel import LinePanel
from fttui_engine.runs.logs import one_line


class Verdict(LinePanel):
    """Shows the verdict on a configuration, or a plain sentence."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._report: Mapping[str, Any] | None = None
        self._sentence: tuple[str, Role] = ("", "dim")

    def say(self, sentence: str, role: Role = "dim") -> None:
        """Show a sentence in place of a verdict."""
        self._report, self._sentence = None, (one_line(sentence), role)
        self.redraw()

    def show(self, report: Mapping[str, Any]) -> None:
        """Show a report in the form that ``fttui check --json`` prints."""
        self._report = report
        self.redraw()

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading and findings; what does not fit is counted."""
        if self._report is None:
            text, role = self._sentence
            return [rule("Check", width), *_indented(text, width, role)]
        lines = verdict_lines(self._report, width)
        if len(lines) > height:
            hidden = len(lines) - height + 1
            lines = [
                *lines[: height - 1],
                line(Span(f" ... and {hidden} lines more: fttui check shows all", "dim")),
            ]
        return lines


def verdict_lines(report: Mapping[str, Any], width: int) -> list[Line]:
    """Return everything a report says."""
    errors, warnings = report.get("errors") or [], report.get("warnings") or []
    remark = f"{len(errors)} to correct" if errors else "all right"
    lines = [rule("Check", width, remark)]
    for finding in errors:
        lines += _indented(f"x {finding.get('message', '')}", width, "bad")
    for finding in warnings:
        lines += _indented(f"! {finding.get('message', '')}", width, "warn")
    if not errors:
        lines += _indented("v This configuration can be started.", width, "good")
        lines += _indented(_memory(report.get("memory") or {}), width, "plain")
    for change in report.get("translated") or []:
        lines += _indented(
            f"- {change.get('from')} is read as {change.get('to')}: {change.get('why')}", width, "dim"
        )
    for left_out in report.get("ignored") or []:
        lines += _indented(f"- {left_out.get('key')} has no effect: {left_out.get('why')}", width, "dim")
    return lines


def _memory(memory: Mapping[str, Any]) -> str:
    parts = [
        f"GPU {gpu.get('index')} needs about {figures.memory(gpu.get('predicted_bytes'))}"
        f" of {figures.memory(gpu.get('free_bytes'))} free"
        for gpu in memory.get("per_gpu") or []
        if gpu.get("predicted_bytes")
    ]
    if memory.get("disk_bytes"):
        parts.append(f"disk {figures.memory(memory['disk_bytes'])}")
    return ". ".join(parts)


def _indented(text: str, width: int, role: Role) -> list[Line]:
    first, *rest = wrap(one_line(text), width - 4, role) or [()]
    return [line(" ", *first), *(line("   ", *one) for one in rest)] if first else []
