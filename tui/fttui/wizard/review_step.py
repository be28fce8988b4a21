"""Step 5: everything on one page, then off it goes."""

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Label

from fttui.wizard.draft import Draft
from fttui.wizard.review_lines import review_lines
from fttui.wizard.step import Step
from fttui.wizard.wish import Judgement

if TYPE_CHECKING:
    from fttui.keys import Scope


class ReviewStep(Step, can_focus=True):
    """Shows what is going to be started; name and last changes can be typed."""

    TITLE: ClassVar[str] = "Review"
    SCOPE: ClassVar["Scope"] = "new-review"

    def __init__(self) -> None:
        super().__init__()
        self.name_field = Input(placeholder="of the run; may stay empty", id="name", compact=True)
        self.changes_field = Input(
            placeholder="KEY=VALUE KEY=VALUE ...; may stay empty",
            id="changes",
            compact=True,
            select_on_focus=False,
        )
        self.probing_since: float | None = None
        self.disk_free_bytes: int | None = None
        self.proposed_name = ""

    def compose(self) -> ComposeResult:
        """Lay out the page and two fields."""
        yield self.panel
        for label, field in (("Name", self.name_field), ("Changes", self.changes_field)):
            with Horizontal(classes="field-row"):
                yield Label(label.ljust(7))
                yield field

    def open(self, draft: Draft) -> None:
        """Become the step in front, with what was typed before."""
        super().open(draft)
        with self.prevent(Input.Changed):
            self.changes_field.value = draft.wish.changes
            self.name_field.value = draft.wish.name or self.proposed_name

    def show(self, draft: Draft) -> None:
        """Show the page."""
        self.draft = draft
        judged = draft.judged
        remark = "checking ..."
        if judged is not None:
            remark = "enter starts it" if judged.ok else _to_correct(judged)
        since, free = self.probing_since, self.disk_free_bytes
        self.panel.show("Review", lambda width: review_lines(draft, width, since, free), remark=remark)

    def propose_name(self, name: str) -> None:
        """Fill in a name, unless somebody typed one."""
        before, self.proposed_name = self.proposed_name, name
        if self.name_field.value in ("", before) and not self.draft.wish.name:
            with self.prevent(Input.Changed):
                self.name_field.value = name

    def on_input_changed(self, event: Input.Changed) -> None:
        """Take what is typed."""
        event.stop()
        text = event.value.strip()
        if event.input is self.name_field:
            self.change(self.draft.wish._replace(name=text))
        else:
            self.change(self.draft.wish._replace(changes=text))

    def mark(self, rows: int) -> None:
        """Scroll: there is nothing to choose from here."""
        self.panel.move(rows)

    def complete(self) -> None:
        """Go round the fields."""
        fields = [self.name_field, self.changes_field, self]
        at = next((place for place, field in enumerate(fields) if field.has_focus), len(fields) - 1)
        fields[(at + 1) % len(fields)].focus()


def _to_correct(judged: Judgement) -> str:
    return f"{len((judged.report or {}).get('errors') or ()) or 1} to correct"
