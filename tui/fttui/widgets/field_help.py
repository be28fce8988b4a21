"""What is known of one key: help, what it takes, default, where its value came from, what is wrong with it."""

from collections.abc import Sequence

from fttui.editor.fields import Field, Remark
from fttui.editor.written import shown_value
from fttui.lines import Line, Role, Span, line, rule, wrap
from fttui.widgets.field_list import MARKS
from fttui.widgets.line_panel import LinePanel
from fttui_engine.runs.logs import one_line
from fttui_engine.spec.keys import Key
from fttui_engine.spec.values import allowed_text

SPECIAL = {
    "gpus": "a number of GPUs, a list of indices such as [0, 1], auto, or none",
    "rank_batches": "auto, or a list of whole numbers such as [4, 2]",
    "nodes": "a number of hosts, or a list of host names",
    "environment": "a block such as {NAME: text}",
    "command": "a list of words such as [python, train.py]",
}


class FieldHelp(LinePanel):
    """Tells of the key under the cursor, or of the line of the text."""

    def __init__(self) -> None:
        super().__init__(id="field-help")
        self._title = ""
        self._field: Field | None = None
        self._remarks: tuple[Remark, ...] = ()
        self._typing: tuple[str, Role] | None = None

    def show(self, field: Field | None, remarks: tuple[Remark, ...] | None = None, title: str = "") -> None:
        """Tell of a key, or of what stands in a line of the text."""
        self._field, self._typing = field, None
        self._title = title or (field.name if field else "")
        self._remarks = remarks if remarks is not None else field.remarks if field else ()
        self.redraw()

    def say_of_typing(self, text: str, role: Role) -> None:
        """Say what is wrong, or right, with what is being typed."""
        self._typing = (text, role)
        self.redraw()

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return the lines; what is wrong goes first where not all fits."""
        remarks = [
            each
            for remark in self._remarks
            for each in _marked(*MARKS[remark.severity], remark.message, width)
        ]
        if self._typing:
            text, role = self._typing
            remarks = _marked("x" if role == "bad" else "-", role, text, width)
        about = _about(self._field, width) if self._field else []
        room = max(1, height - 1)
        kept = about[: max(1, room - len(remarks))] if remarks else about
        return [rule(one_line(self._title) or "Help", width), *kept, *remarks][:height]


def _about(field: Field, width: int) -> list[Line]:
    key = field.key
    if key is None:
        return _indented("This key has no effect in fttui. x takes it out.", width, "dim")
    facts = [_sentence(_takes(key)), f"Default: {shown_value(key.default) or 'unset'}."]
    if field.origin == "profile":
        facts.append(f"Set by {field.place}.")
    elif field.is_written:
        saved = " (not saved)" if field.origin == "edit" else ""
        other = "" if field.base == field.value else f"; without it: {field.base or 'unset'}"
        facts.append(f"Set in {field.place}{saved}{other}.")
    elif field.place != "default":
        facts.append(f"Now {field.place.removeprefix('default ').strip('()')}.")
    return [*_indented(key.help, width, "plain"), *_indented(" ".join(facts), width, "dim")]


def _takes(key: Key) -> str:
    return SPECIAL.get(key.kind) or allowed_text(key)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _marked(mark: str, role: Role, text: str, width: int) -> list[Line]:
    first, *rest = wrap(one_line(text), max(8, width - 4), role) or [()]
    return [line(Span(f" {mark} ", role), *first), *(line("   ", *each) for each in rest)]


def _indented(text: str, width: int, role: Role) -> list[Line]:
    return [line(" ", *each) for each in wrap(one_line(text), max(8, width - 2), role)]
