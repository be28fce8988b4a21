"""What the editor shows to be read: the verdict in full, and what differs from profile, defaults or disk."""

import difflib
from collections.abc import Sequence
from itertools import islice

from fttui.cli.memory_lines import Experience, memory_lines
from fttui.editor.fields import Field
from fttui.editor.judging import Judgement
from fttui.lines import Line, Role, Span, fit, line, wrap
from fttui.widgets.field_list import MARKS
from fttui_engine.runs.logs import one_line

MOST_LINES = 2_000


def verdict_rows(judgement: Judgement, experience: Experience, width: int) -> list[Line]:
    """Return all findings, what is read differently or has no effect, and the memory in parts."""
    rows: list[Line] = []
    for remark in judgement.remarks:
        rows += _marked(*MARKS[remark.severity], remark.message, width)
    notes = [
        remark.message for field in judgement.fields for remark in field.remarks if remark.severity == "note"
    ]
    for note in notes:
        rows += _marked("-", "dim", note, width)
    if not judgement.count("error"):
        rows.insert(0, line(Span(" v This configuration can be started.", "good")))
    if judgement.report:
        rows.append(line(""))
        for text in memory_lines(judgement.report.memory, experience):
            rows += _marked(" ", "plain", text, width, indent=len(text) - len(text.lstrip()))
    return rows


def difference_rows(fields: Sequence[Field], base: str, width: int) -> list[Line]:
    """Return every key whose value is not that of the profile, or without one the default."""
    column = max(10, (width - 4) // 3)
    rows = [
        line(
            Span(f" {fit(one_line(field.name), column)} ", "accent"),
            Span(f"{fit(one_line(field.base) or 'unset', column)} ", "dim"),
            Span(fit(one_line(field.value), column)),
        )
        for field in fields
        if field.differs
    ]
    return [line(Span(f" {fit('KEY', column)} {fit(base, column)} HERE", "dim")), *rows] if rows else []


def text_difference(old: str, new: str, width: int) -> list[Line]:
    """Return what differs between two texts, as ``diff -u`` writes it."""
    roles: dict[str, Role] = {"+": "good", "-": "bad", "@": "accent"}
    found = difflib.unified_diff(old.splitlines(), new.splitlines(), "on disk", "here", lineterm="")
    return [
        line(Span(fit(one_line(each), width), roles.get(each[:1], "plain")))
        for each in islice(found, MOST_LINES)
    ]


def _marked(mark: str, role: Role, text: str, width: int, indent: int = 0) -> list[Line]:
    first, *rest = wrap(one_line(text), max(8, width - 4 - indent), role) or [()]
    space = " " * indent
    return [line(Span(f" {mark} {space}", role), *first), *(line(f"   {space}", *each) for each in rest)]
