"""A look at data as lines: counts, lengths, and examples with what is learned of them in another colour."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len, chop_cells

from fttui.lines import Line, Role, Span, fit_right, line, wrap
from fttui_engine.runs.logs import one_line, plain_text

BAR_WIDTH = 24
PLAIN_MARKS = ("[[", "]]")
"""Stand round what is learned where there are no colours."""


def report_lines(report: Mapping[str, Any], width: int, limit: int | None, *, in_colour: bool) -> list[Line]:
    """Return all that a look at the data found."""
    lines: list[Line] = []
    for text in report["log"]:
        lines += _indented(text, width, "warn" if text.startswith("warning") else "plain")
    if limit:
        lines += _indented(
            f"Only the first {limit} records of each data set were looked at; f5 looks at all.", width, "note"
        )
    for name, split in (("train", report["train"]), *report["evaluation"].items()):
        lines += split_lines(name, split, width)
    marks = "green" if in_colour else "in [[ ]]"
    for name, examples in report["shown"].items():
        for number, pieces in enumerate(examples, start=1):
            title = f" {one_line(name)}, example {number} of {len(examples)} shown"
            lines += [line(""), line(Span(title, "strong"), Span(f"   what is learned is {marks}", "dim"))]
            lines += example_lines(pieces, width, in_colour=in_colour)
            if number == 1 and name == "train":
                # Below the first example: an example is what people look for, the rest is there when they scroll.
                lines += [line(""), *length_lines(report["train"])]
    return lines


def split_lines(name: str, split: Mapping[str, Any], width: int) -> list[Line]:
    """Return the counts of one split."""
    length = split["length"]
    learned = 100 * split["learned_tokens"] / max(1, split["tokens"])
    text = (
        f"{name}: {split['examples']} examples, {split['tokens']} tokens, {learned:.0f} % of them learned; half have "
        f"at most {length['p50']} tokens, 95 % at most {length['p95']}, the longest {length['max']} "
        f"(cutoff_len {length['cutoff_len']})"
    )
    lines = _indented(text, width, "plain")
    for key, words in (("repeated", "repeat another one exactly"), ("also_in_train", "are in train too")):
        if split.get(key):
            lines += _indented(f"{split[key]} examples of {name} {words}", width, "warn")
    return lines


def length_lines(split: Mapping[str, Any]) -> list[Line]:
    """Return the distribution of lengths of one split."""
    length = split["length"]
    lines: list[Line] = []
    most = max((bar["examples"] for bar in length["histogram"]), default=1)
    for bar in length["histogram"]:
        filled = -(-bar["examples"] * BAR_WIDTH // most)
        span = f"{fit_right(str(bar['from']), 8)} - {fit_right(str(bar['to']), 6)} tokens "
        lines.append(line(span, Span("#" * filled, "accent"), f" {bar['examples']}"))
    return lines


def example_lines(pieces: Sequence[Mapping[str, Any]], width: int, *, in_colour: bool) -> list[Line]:
    """Return one example as the model sees it, broken to lines; what is learned is green, the rest is not."""
    lines: list[Line] = []
    row: list[Span] = []
    room = most = max(8, width - 3)
    part = None
    for piece in pieces:
        if part not in (None, piece["part"]):
            lines += [_row(row), line(Span(f"  --- {one_line(piece['part'])} ---", "dim"))]
            row, room = [], most
        part = piece["part"]
        role: Role = ("good" if in_colour else "plain") if piece["learned"] else "dim"
        text = plain_text(piece["text"]).expandtabs(4)
        if piece["learned"] and not in_colour:
            text = text.join(PLAIN_MARKS)
        for number, paragraph in enumerate(text.split("\n")):
            if number:
                lines.append(_row(row))
                row, room = [], most
            for chunk in _chunks(paragraph, room, most):
                if cell_len(chunk) > room:
                    lines.append(_row(row))
                    row, room = [], most
                row.append(Span(chunk, role))
                room -= cell_len(chunk)
    return [*lines, _row(row)]


def _chunks(text: str, room: int, most: int) -> list[str]:
    """Cut a text where lines end: the first chunk fills the line that was begun."""
    if not text:
        return []
    first, *rest = chop_cells(text, room) if room > 0 else ["", text]
    return [first, *chop_cells("".join(rest), most)] if rest else [first]


def _row(spans: Sequence[Span]) -> Line:
    return line("  ", *spans)


def _indented(text: str, width: int, role: Role) -> list[Line]:
    return [line(" ", *one) for one in wrap(one_line(text), max(8, width - 2), role)]
