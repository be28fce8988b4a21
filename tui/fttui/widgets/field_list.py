"""The form: one row per key under the heading of its group, with a cursor."""

from collections.abc import Sequence

from fttui.editor.fields import WORDS, Field
from fttui.lines import Line, Role, Span, fit, fit_line, line, rule
from fttui.widgets.line_panel import LinePanel
from fttui_engine.runs.logs import one_line

ORIGIN_WIDTH = 8
NAME_WIDTH_AT_MOST = 30
MARKS: dict[str, tuple[str, Role]] = {"error": ("x", "bad"), "warning": ("!", "warn"), "note": ("-", "dim")}

Row = Field | str
"""A key, or the name of a group that begins."""


class FieldList(LinePanel, can_focus=True):
    """Shows the keys that were chosen; the cursor stays on its key when others come or go."""

    def __init__(self) -> None:
        super().__init__(id="fields")
        self._fields: tuple[Field, ...] = ()
        self._rows: list[Row] = []
        self._title, self._remark, self._empty = "Form", "", ""
        self._top = 0
        self._at = 0

    @property
    def field(self) -> Field | None:
        """The key under the cursor."""
        return self._fields[self._at] if self._at < len(self._fields) else None

    @property
    def fields(self) -> tuple[Field, ...]:
        """The keys that are shown."""
        return self._fields

    @property
    def value_region(self) -> tuple[int, int, int]:
        """Where the value of the key under the cursor stands: column, row and width."""
        width = self.content_size.width
        column = _name_width(width) + 4
        row = self._rows.index(self._fields[self._at]) - self._top + 1
        return column, row, max(10, width - column)

    def show(self, fields: tuple[Field, ...], title: str, remark: str, empty: str = "") -> None:
        """Show keys; the cursor goes with its own."""
        before = self.field
        self._fields, self._title, self._remark, self._empty = fields, title, remark, empty
        self._rows = []
        group = ""
        for each in fields:
            if each.group != group:
                group = each.group
                self._rows.append(group)
            self._rows.append(each)
        if before is None or not self.select(before.name):
            self._at = min(self._at, max(0, len(fields) - 1))
        self.redraw()

    def select(self, name: str) -> bool:
        """Put the cursor on a key; False where it is not shown."""
        at = next((index for index, each in enumerate(self._fields) if each.name == name), None)
        if at is None:
            return False
        self._at = at
        self.redraw()
        return True

    def move(self, rows: int) -> None:
        """Move the cursor."""
        self._at = min(max(0, self._at + rows), max(0, len(self._fields) - 1))
        self.redraw()

    def move_pages(self, pages: int) -> None:
        """Move the cursor by screenfuls."""
        self.move(pages * max(1, self.content_size.height - 3))

    def on_focus(self) -> None:
        """Show where the keys go."""
        self.redraw()

    def on_blur(self) -> None:
        """Show that they go elsewhere."""
        self.redraw()

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading and the rows around the cursor."""
        head = rule(self._title, width, self._remark)
        if not self._fields:
            return [head, line(Span(f" {self._empty}", "dim"))]
        cursor = self._rows.index(self._fields[self._at])
        room = max(1, height - 1)
        # The heading of the first key of a group comes into sight with it.
        first = cursor - 1 if isinstance(self._rows[cursor - 1], str) else cursor
        self._top = min(max(self._top, cursor - room + 1), first)
        self._top = min(self._top, max(0, len(self._rows) - room))
        shown = self._rows[self._top : self._top + room]
        lines = [_row(each, width) for each in shown]
        at = cursor - self._top
        marked = self.has_focus
        lines[at] = tuple(Span(each.text, each.role, marked=marked) for each in fit_line(lines[at], width))
        return [head, *lines]


def _name_width(width: int) -> int:
    return min(NAME_WIDTH_AT_MOST, max(18, width * 12 // 25))


def _row(row: Row, width: int) -> Line:
    if isinstance(row, str):
        return line(Span(f" {WORDS.get(row, row)}", "strong"))
    mark, mark_role = _mark(row)
    name_width = _name_width(width)
    room = max(4, width - name_width - 5 - ORIGIN_WIDTH)
    role: Role = "bad" if row.has_error else "dim" if row.origin == "default" else "plain"
    return line(
        Span(f" {mark} ", mark_role),
        Span(fit(one_line(row.name), name_width), "plain" if row.origin == "default" else "accent"),
        Span(" "),
        Span(fit(one_line(row.value), room), role),
        Span(f" {row.origin}", "note" if row.origin == "edit" else "dim"),
    )


def _mark(field: Field) -> tuple[str, Role]:
    for severity in ("error", "warning", "note"):
        if any(remark.severity == severity for remark in field.remarks):
            return MARKS[severity]
    return " ", "plain"
