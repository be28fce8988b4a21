"""The configuration editor: a form and the YAML text, two views of one document."""

from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.widgets import TextArea

from fttui.editor.document import NEW_NAME, Source
from fttui.editor.fields import Field, Remark, chosen_fields
from fttui.lines import Role, Span, line
from fttui.screens.editor_base import Judged
from fttui.screens.editor_dialogs import Reading
from fttui.screens.editor_form import EditorForm
from fttui.screens.editor_reading import difference_rows, verdict_rows
from fttui.widgets.editor_parts import EditorKeys, EditorTitle, Form, ValueInput
from fttui.widgets.field_help import FieldHelp
from fttui.widgets.field_list import FieldList
from fttui.widgets.prompt import Prompt
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
        yield Prompt()
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
        """Show document and judgement."""
        with self.app.batch_update():
            self._show_title()
            self._show_fields()
            self.query_one(YamlText).take(self.document.text if self.document else "")
            self.query_one(YamlText).mark_faults(self._faults())
            self.query_one(VerdictLine).show(self.judgement, waits=not self.is_judged)
            if self.typing is None:
                self.cursor_moved()

    def _show_title(self) -> None:
        document = self.document
        name = one_line(document.path_text or NEW_NAME) if document else "reading ..."
        left = [Span(" Config ", "strong"), Span(name)]
        right: list[Span] = []
        if document:
            left += [Span(f"  profile {document.profile}", "dim")] if document.profile else []
            right += [Span("changed on disk  ", "warn")] if self.changed_on_disk else []
            state = "not saved" if document.is_changed else "saved" if document.opened else "no file yet"
            right.append(Span(f"{state} ", "note" if document.is_changed else "dim"))
        self.query_one(EditorTitle).show(line(*left), line(*right))

    def _show_fields(self) -> None:
        judgement = self.judgement
        if judgement is None:
            return
        fields = chosen_fields(judgement.fields, every=self.every, words=self.words)
        title = (
            f"Keys with {self.words}" if self.words else "All keys" if self.every else "Set and common keys"
        )
        remark = f"{len(fields)} of {len(judgement.fields)}"
        empty = (
            f"{judgement.problem.message} ctrl+t shows the text."
            if judgement.problem
            else "None has these words."
        )
        self.fields.show(fields, one_line(title), remark, one_line(empty))

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
        about.show(field)
        line_number = _line_of(field) if field else None
        if line_number:
            self.query_one(YamlText).move_cursor((line_number - 1, 0))

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
        text = event.text_area.text
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
        else:
            field = self._field_of_line(self.query_one(YamlText).cursor_location[0] + 1)
            self.set_class(False, "-text")
            self.fields.focus()
            if field:
                self.fields.select(field.name)
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
        if judgement := self.judgement:
            self.app.push_screen(Reading("Verdict", lambda width: verdict_rows(judgement, width), "Nothing."))

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


def _line_of(field: Field) -> int | None:
    number = field.place.removeprefix("line ")
    return int(number) if number != field.place and number.isdecimal() else None
