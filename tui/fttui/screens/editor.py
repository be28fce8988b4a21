"""The configuration editor: a form and the YAML text, two views of one document."""

from typing import ClassVar

from rich.cells import cell_len
from textual import on
from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.widgets import TextArea

from fttui.cli.memory_lines import experience_with
from fttui.editor.document import NEW_NAME, Source
from fttui.editor.fields import Field, Remark, chosen_fields
from fttui.lines import Role, Span, line, width_of
from fttui.screens.editor_base import Judged
from fttui.screens.editor_dialogs import Reading
from fttui.screens.editor_form import EditorForm
from fttui.screens.editor_reading import difference_rows, verdict_rows
from fttui.widgets.editor_parts import EditorKeys, EditorTitle, FindPrompt, Form, ValueInput
from fttui.widgets.field_help import FieldHelp
from fttui.widgets.field_list import FieldList
from fttui.widgets.verdict_line import VerdictLine
from fttui.widgets.yaml_text import YamlText
from fttui_engine.runs.logs import one_line


def open_editor(app: App[None], source: Source, *, ends_program: bool = False) -> None:
    """Open the editor on a file, a run's configuration or a text; leaving it may end the program."""
    app.push_screen(Editor(source, ends_program=ends_program))


class Editor(EditorForm):
    """Edits one configuration."""

    AUTO_FOCUS = "#fields"
    CSS_PATH: ClassVar[str] = "editor.tcss"

    def compose(self) -> ComposeResult:
        """Lay out title, form and text, help, verdict and keys."""
        yield EditorTitle()
        with Horizontal(id="editor-body"):
            with Form(id="form"):
                yield FieldList()
                yield ValueInput(id="value", compact=True, select_on_focus=False)
            yield YamlText()
        yield FieldHelp()
        yield VerdictLine()
        yield FindPrompt()
        yield EditorKeys("editor")

    @property
    def is_text(self) -> bool:
        """Whether the keys go to the text."""
        return self.has_class("-text")

    # Showing

    def on_judged(self, event: Judged) -> None:
        """Show a judgement; an older one than that on the screen is late."""
        newest = self.judgement.question.number if self.judgement else 0
        if event.judgement.question.number >= newest:
            self.judged(event.judgement)
            self.show_all()

    def show_all(self) -> None:
        """Show document and judgement; late news finds nothing to be shown on any more."""
        if not self.is_attached or not self.query(EditorTitle):
            return
        with self.app.batch_update():
            self._show_title()
            self.query_one(YamlText).take(self.document.text if self.document else "")
            self.query_one(YamlText).mark_faults(self._faults())
            self.query_one(VerdictLine).show(self.judgement, waits=not self.is_judged)
            if self.typing is None:
                # Under a value that is being typed no row may move.
                self._show_fields()
                self.cursor_moved()

    def _show_title(self) -> None:
        document = self.document
        name = one_line(document.path_text or NEW_NAME) if document else "reading ..."
        left: list[Span] = []
        right: list[Span] = []
        if document:
            left += [Span(f"  profile {document.profile}", "dim")] if document.profile else []
            right += [Span("changed on disk  ", "warn")] if self.changed_on_disk else []
            state = "not saved" if document.is_changed else "saved" if document.opened else "no file yet"
            right.append(Span(f"{state} ", "note" if document.is_changed else "dim"))
        head = Span(" Config ", "strong")
        room = self.size.width - width_of([head, *left, *right]) - 1
        self.query_one(EditorTitle).show(line(head, fit_end(name, room), *left), line(*right))

    def _show_fields(self) -> None:
        judgement = self.judgement
        if judgement is None:
            return
        now = self.fields.field
        fields = chosen_fields(
            judgement.fields, every=self.every, words=self.words, also=now.name if now else ""
        )
        title = (
            f"Keys with {self.words}" if self.words else "All keys" if self.every else "Set and common keys"
        )
        remark = f"{len(fields)} of {len(judgement.fields)}"
        empty = (
            "ctrl+t shows the text, which has to be right first." if judgement.problem else "None has them."
        )
        self.fields.show(fields, one_line(title), remark, empty)

    def _faults(self) -> dict[int, Role]:
        faults: dict[int, Role] = {}
        for remark in reversed(self.judgement.remarks if self.judgement else ()):
            if remark.line:
                is_error = remark.severity == "error" or faults.get(remark.line) == "bad"
                faults[remark.line] = "bad" if is_error else "warn"
        return faults

    def cursor_moved(self) -> None:
        """Show what is known of the key under the cursor, and its line beside it."""
        about = self.query_one(FieldHelp)
        if self.is_text:
            row = self.query_one(YamlText).cursor_location[0] + 1
            about.show(self._field_of_line(row), self._remarks_of_line(row), f"Line {row}")
            return
        field = self.fields.field
        problem = self.judgement.problem if self.judgement else None
        if problem and field is None:
            about.show(None, (problem,), "The text")
            return
        about.show(field)
        self._point_at(field)

    def _point_at(self, field: Field | None) -> None:
        text, row = self.query_one(YamlText), _line_of(field) if field else None
        # Before it has a size, the line would be scrolled to the top of nothing.
        if row and text.size.height:
            text.move_cursor((row - 1, 0))

    def _select_line(self, row: int) -> None:
        field = self._field_of_line(row)
        if field and self.fields.select(field.name):
            self.cursor_moved()

    def _field_of_line(self, row: int) -> Field | None:
        fields = self.judgement.fields if self.judgement else ()
        return next((each for each in fields if _line_of(each) == row), None)

    def _remarks_of_line(self, row: int) -> tuple[Remark, ...]:
        return tuple(each for each in (self.judgement.remarks if self.judgement else ()) if each.line == row)

    # Changing

    def change_text(self, text: str, at: str) -> None:
        """Make a change that was not typed into the text."""
        if self.document:
            self.document.history.change(text, at)
            self._changed()

    def _changed(self) -> None:
        self.query_one(YamlText).take(self.document.text if self.document else "")
        self.ask(at_once=True)
        self._show_title()

    @on(TextArea.Changed, "#yaml")
    def _text_typed(self, event: TextArea.Changed) -> None:
        text = self.query_one(YamlText).typed
        document = self.document
        if document is None or text == document.text or not self.is_text:
            return
        row = event.text_area.cursor_location[0] + 1
        document.history.change(text, f"line {row}", joins=True)
        self.ask()
        self._show_title()

    @on(TextArea.SelectionChanged, "#yaml")
    def _text_cursor_moved(self) -> None:
        if self.is_text:
            self.cursor_moved()

    def action_undo(self) -> None:
        """Go back by one change, of the form or of the text."""
        self._go("There is nothing to undo.", back=True)

    def action_redo(self) -> None:
        """Make the change again."""
        self._go("There is nothing to do again.", back=False)

    def _go(self, nothing: str, *, back: bool) -> None:
        if self.document is None:
            return
        history = self.document.history
        step = history.undo() if back else history.redo()
        if step is None:
            self.cockpit.tell(nothing)
            return
        self.fields.select(step.at)
        self._changed()

    # Ways

    def action_switch(self) -> None:
        """Go from the form to the text, or back, and stay at the same key."""
        if not self.is_text:
            if not self.finish_typing():
                return
            self.set_class(True, "-text")
            self.query_one(YamlText).focus()
            self.call_after_refresh(self._point_at, self.fields.field)
        else:
            row = self.query_one(YamlText).cursor_location[0] + 1
            self.set_class(False, "-text")
            self.fields.focus()
            self.when_judged(lambda: self.call_after_refresh(self._select_line, row))
        self.query_one(EditorKeys).turn_to("editor-text" if self.is_text else "editor")
        self.call_after_refresh(self.show_all)

    def action_back(self) -> None:
        """Show all keys again after a search, else leave."""
        if self.words:
            self.words = ""
            self.show_all()
        else:
            self.leave()

    def action_verdict(self) -> None:
        """Show everything that is to be said of the configuration."""
        judgement = self.judgement
        if judgement is None or judgement.report is None:
            return
        memory = judgement.report.memory
        # What this machine has measured so far lies in the runs' folders.
        self.in_thread(
            lambda: experience_with(memory, None),
            lambda experience: self.app.push_screen(
                Reading("Verdict", lambda width: verdict_rows(judgement, experience, width), "Nothing.")
            ),
        )

    def action_difference(self) -> None:
        """Show what differs from the profile, or from the defaults."""
        if self.judgement and self.document:
            fields = self.judgement.fields
            base = self.document.profile or "default"
            self.app.push_screen(
                Reading(
                    f"Difference to {self.document.profile or 'the defaults'}",
                    lambda width: difference_rows(fields, base.upper(), width),
                    "Nothing differs.",
                )
            )

    def action_help(self) -> None:
        """Show what the keys do."""
        from fttui.screens.help import Help

        self.app.push_screen(Help(self.cockpit.keymap.keys_of("editor-text" if self.is_text else "editor")))

    def on_resize(self) -> None:
        """Fill the panels at their new sizes."""
        if self.typing:
            self.action_cancel_typing()
        self.call_after_refresh(self.show_all)


def fit_end(path: str, width: int) -> str:
    """Crop a path to so many cells at its beginning: the name of the file is what tells it apart."""
    while len(path) > 1 and cell_len(path) > max(1, width):
        path = "~" + path[2:]
    return path


def _line_of(field: Field) -> int | None:
    number = field.place.removeprefix("line ")
    return int(number) if number != field.place and number.isdecimal() else None
