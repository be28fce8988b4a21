"""Step 3: the data, with a look at real examples as the model will see them."""

import os
import time
from collections.abc import Sequence
from typing import ClassVar

from textual.message import Message

from fttui import figures
from fttui.lines import Role, Span, fit, fit_right, line
from fttui.widgets.choice_list import Choice
from fttui.wizard.data_lines import report_lines
from fttui.wizard.draft import Draft, Look
from fttui.wizard.offers import DataOffer, find_datasets
from fttui.wizard.step import SearchStep, paragraphs
from fttui.wizard.wish import Wish
from fttui_engine.runs.logs import one_line


class DataStep(SearchStep):
    """Chooses the data and shows what it is made of."""

    DEFAULT_CSS = "DataStep.-looked ChoiceList { height: 4; min-height: 4; }"
    TITLE: ClassVar[str] = "Data"
    LABEL: ClassVar[str] = "Data"
    NAME_WIDTH: ClassVar[int] = 46
    PLACEHOLDER: ClassVar[str] = "type to search; or a file, several with commas, or a name on the hub"

    class LookWanted(Message):
        """Somebody wants to see the data."""

    class LookUnwanted(Message):
        """Somebody has waited enough."""

    def chosen(self, wish: Wish) -> str:
        """Return the data of a wish."""
        return wish.dataset

    def with_choice(self, value: str) -> Wish:
        """Return the wish with other data."""
        return self.draft.wish._replace(dataset=value)

    def offers(self, typed: str, draft: Draft) -> Sequence[Choice]:
        """Find data sets and files."""
        judged = draft.judged
        folder = (
            str(judged.resolved.values.get("dataset_dir", "data")) if judged and judged.resolved else "data"
        )
        before, comma, _ = typed.rpartition(",")
        return [_row(each, f"{before}{comma}") for each in find_datasets(folder, typed)]

    def configured(self) -> str:
        """Return the data that profile and file name."""
        judged = self.draft.judged
        if self.draft.wish.dataset or judged is None or judged.resolved is None:
            return "-"
        return one_line(", ".join(judged.resolved.values.get("dataset") or ["none yet"]))

    def show(self, draft: Draft) -> None:
        """Show what a look at the data found, or how to look."""
        self.draft = draft
        self.show_first_anew()
        look = draft.looked
        self.set_class(bool(look and look.report), "-looked")
        if look and look.report:
            report, limit = look.report, look.limit
            colour = "NO_COLOR" not in os.environ
            self.panel.show(
                "As the model will see it",
                lambda width: report_lines(report, width, limit, in_colour=colour),
                remark="page keys scroll, enter goes on",
            )
        else:
            self.panel.show("As the model will see it", paragraphs(_about(draft, look)))

    def confirm(self) -> bool:
        """Look at the data first, then go on."""
        if not super().confirm():
            return False
        if self.draft.looked is None:
            self.post_message(self.LookWanted())
            return False
        return True

    def give_up(self) -> bool:
        """Cancel the look."""
        if self.draft.look and self.draft.look.is_under_way:
            self.post_message(self.LookUnwanted())
            return True
        return False


def _about(draft: Draft, look: Look | None) -> list[tuple[str, Role]]:
    judged = draft.judged
    if look and look.is_under_way:
        seconds = figures.duration(time.time() - look.started_at)
        return [
            (f"reading the data as the model will see it ... {seconds}", "accent"),
            ("esc cancels, enter goes on", "dim"),
        ]
    if judged is None:
        return [("checking ...", "dim")]
    if look:
        return [(f"x {look.trouble}", "bad"), ("enter goes on; the run would end the same way.", "dim")]
    errors = (judged.report or {}).get("errors") or []
    about_data = [(each["message"], each["key"]) for each in errors]
    texts: list[tuple[str, Role]] = [(f"x {text}", "bad") for text, key in about_data if key in _DATA_KEYS]
    return texts or [
        (
            "enter reads the data and shows real examples, which tokens are learned, how long they are.",
            "plain",
        ),
        ("Nothing is trained and no GPU is touched; it takes seconds.", "dim"),
    ]


_DATA_KEYS = ("dataset", "eval_dataset", "dataset_dir", "template")


def _row(offer: DataOffer, before: str) -> Choice:
    """A row; choosing it keeps the names that were typed before it."""
    size = fit_right(figures.memory(offer.size_bytes) if offer.size_bytes is not None else "", 8)
    remark = Span(f"  {one_line(offer.remark)}", "dim")
    return Choice(f"{before}{offer.reference}", line(fit(offer.reference, DataStep.NAME_WIDTH), size, remark))
