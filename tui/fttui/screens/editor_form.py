"""What the keys of the editor's form do: changing values in their place, finding keys, going from fault to fault."""

from textual import on
from textual.widgets import Input

from fttui.editor.edits import NotEditableError, set_key, unset_key
from fttui.editor.fields import Field, best_found
from fttui.editor.written import typed_as_yaml
from fttui.lines import Line, Span, fit, line
from fttui.screens.editor_dialogs import PickOne
from fttui.screens.editor_ways import EditorWays
from fttui.widgets.editor_parts import ValueInput
from fttui.widgets.field_help import FieldHelp
from fttui.widgets.field_list import FieldList
from fttui.widgets.prompt import Prompt
from fttui_engine.runs.logs import one_line
from fttui_engine.spec.keys import Key
from fttui_engine.spec.values import TRUE, MismatchError

UNSET = "\0unset"
NO_PROFILE = "\0none"
VALUE_WIDTH = 26


class EditorForm(EditorWays):
    """The form's half of the editor."""

    typing: Field | None = None
    """The key whose value is being typed."""
    every = False
    words = ""

    @property
    def fields(self) -> FieldList:
        """The list of keys."""
        return self.query_one(FieldList)

    # Changing

    def action_change(self) -> None:
        """Change the value of the key under the cursor: switch it, choose it or type it."""
        field = self._editable()
        if field is None or field.key is None:
            return
        if field.key.kind == "flag":
            self.put(field.name, "false" if field.value.lower() in TRUE else "true")
        elif field.key.choices:
            self._choose(field, field.key)
        else:
            self._type(field)

    def _editable(self) -> Field | None:
        field = self.fields.field
        if field is None or self.document is None:
            return None
        if self.judgement and self.judgement.problem:
            self.cockpit.tell("The form can be used again once the text is right (ctrl+t).", "warning")
            return None
        if field.key is None:
            self.cockpit.tell(f"{field.name} has no effect here; x takes it out, ctrl+t shows its line.")
            return None
        return field

    def put(self, name: str, value: str | None) -> bool:
        """Set a key to a value in YAML, or take it out; False where only the text can do that."""
        document = self.document
        if document is None:
            return False
        try:
            text = unset_key(document.text, name) if value is None else set_key(document.text, name, value)
        except NotEditableError as error:
            self.tell_error(error)
            return False
        self.change_text(text, name)
        return True

    def action_unset(self) -> None:
        """Take the key under the cursor out of the file."""
        field = self.fields.field
        if field is None:
            return
        if not field.is_written:
            self.cockpit.tell(f"{field.name} is not in the file; its value is that of the {field.origin}.")
            return
        self.put(field.name, None)

    def _choose(self, field: Field, key: Key) -> None:
        choices = [(choice, _choice_line(choice, field, key)) for choice in key.choices]
        if field.is_written:
            choices.append((UNSET, line(Span(f" take it out: {field.base or 'unset'}", "dim"))))

        def answered(answer: str | None) -> None:
            if answer == UNSET:
                self.put(field.name, None)
            elif answer is not None and (answer != field.value or not field.is_written):
                self.put(field.name, answer)

        self.app.push_screen(PickOne(field.name, choices, at=field.value, about=key.help), answered)

    # Typing

    def _type(self, field: Field) -> None:
        value = self.query_one(ValueInput)
        column, row, width = self.fields.value_region
        value.styles.offset = (column, row)
        value.styles.width = width
        self.typing = field
        value.value = field.value if field.origin != "default" or field.value else ""
        value.cursor_position = len(value.value)
        value.display = True
        value.focus()

    @on(Input.Changed, "#value")
    def _typed(self, event: Input.Changed) -> None:
        """Say at once what is wrong, and what memory it would take if it were right."""
        field, document = self.typing, self.document
        if field is None or document is None or field.key is None:
            return
        about = self.query_one(FieldHelp)
        if not event.value.strip():
            about.say_of_typing("enter takes the key out of the file", "plain")
            self.ask()
            return
        try:
            text = set_key(document.text, field.name, typed_as_yaml(field.key, event.value))
        except MismatchError as error:
            about.say_of_typing(mismatch_text(field.name, error), "bad")
        except NotEditableError as error:
            about.say_of_typing(f"{error.message}: {error.hint}", "bad")
        else:
            about.say_of_typing("enter takes it, esc leaves it as it was", "plain")
            self.ask(text)

    @on(Input.Submitted, "#value")
    def _taken(self) -> None:
        self.finish_typing()

    def finish_typing(self) -> bool:
        """Take over the value that is being typed; False where it is not right, and then it can be changed."""
        field = self.typing
        if field is None or field.key is None:
            return True
        typed = self.query_one(ValueInput).value.strip()
        if typed == field.value:
            self.action_cancel_typing()
            return True
        if not typed:
            done = self.put(field.name, None) if field.is_written else True
        else:
            try:
                done = self.put(field.name, typed_as_yaml(field.key, typed))
            except MismatchError as error:
                self.query_one(FieldHelp).say_of_typing(mismatch_text(field.name, error), "bad")
                return False
        if done:
            self._end_typing()
        return done

    def action_cancel_typing(self) -> None:
        """Leave the value as it was."""
        self._end_typing()
        self.ask(at_once=True)

    def action_take_and_move(self, rows: int) -> None:
        """Take over the value and go on to the key beside it."""
        if self.finish_typing():
            self.fields.move(rows)
            self.cursor_moved()

    def _end_typing(self) -> None:
        self.typing = None
        self.query_one(ValueInput).display = False
        self.fields.focus()
        self.cursor_moved()

    # Finding

    def action_find(self) -> None:
        """Ask for words that name, group, help or value of a key have."""
        self.query_one(Prompt).ask("find", "/", self.words, in_place_of=self.query_one("#keys"))

    @on(Prompt.Answered)
    def _found(self, event: Prompt.Answered) -> None:
        self.query_one(Prompt).close()
        self.words = event.text.strip()
        self.fields.focus()
        self.show_all()

    @on(Input.Changed, "#prompt-text")
    def _finding(self, event: Input.Changed) -> None:
        self.words = event.value.strip()
        self.show_all()
        if self.words:
            self.fields.select(best_found(self.fields.fields, self.words))
            self.cursor_moved()

    def action_every(self) -> None:
        """Show every key, or only those that are set or common."""
        self.every, self.words = not self.every, ""
        self.show_all()

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self.fields.move(rows)
        self.cursor_moved()

    def action_move_page(self, pages: int) -> None:
        """Move the cursor by screenfuls."""
        self.fields.move_pages(pages)
        self.cursor_moved()

    def action_next_remark(self, direction: int) -> None:
        """Go to the next key of which something is wrong, or advised."""
        fields = self.fields.fields
        names = [each.name for each in fields]
        at = names.index(self.fields.field.name) if self.fields.field else 0
        for distance in range(1, len(fields) + 1):
            each = fields[(at + direction * distance) % len(fields)]
            if any(remark.severity != "note" for remark in each.remarks):
                self.fields.select(each.name)
                self.cursor_moved()
                return
        more = " f2 shows all findings." if self.judgement and self.judgement.remarks else ""
        self.cockpit.tell(f"Nothing is wrong with any key that is shown.{more}")

    def action_profile(self) -> None:
        """Choose the profile whose values stand where the file says nothing."""
        from fttui_engine.spec.profiles import list_profiles

        self.in_thread(
            lambda: [
                (each.name, line(Span(f" {fit(each.name, VALUE_WIDTH)} ", "accent"), one_line(each.summary)))
                for each in list_profiles()
            ],
            self._offer_profiles,
        )

    def _offer_profiles(self, profiles: list[tuple[str, Line]]) -> None:
        document = self.document
        if document is None:
            return

        def answered(answer: str | None) -> None:
            if answer is not None:
                document.profile = "" if answer == NO_PROFILE else answer
                self.show_all()
                self.ask(at_once=True)

        none = (NO_PROFILE, line(Span(" no profile: the defaults", "dim")))
        self.app.push_screen(
            PickOne("Profile", [*profiles, none], at=document.profile or NO_PROFILE), answered
        )

    def cursor_moved(self) -> None:
        """Show what is known of the key under the cursor."""
        raise NotImplementedError


def mismatch_text(name: str, error: MismatchError) -> str:
    """Return what is wrong with a value that was typed."""
    suggestion = f" Did you mean {error.suggestion}?" if error.suggestion else ""
    return f"{name} must be {error.allowed}, but is {error.found}.{suggestion}"


def _choice_line(choice: str, field: Field, key: Key) -> Line:
    remarks = []
    if choice == str(key.default):
        remarks.append("default")
    if choice == field.base and field.base != str(key.default):
        remarks.append("profile")
    if choice == field.value:
        remarks.append("now")
    return line(Span(f" {fit(choice, VALUE_WIDTH)} ", "accent"), Span(", ".join(remarks), "dim"))
