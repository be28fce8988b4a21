"""Step 2: the model, of those that lie on this host, or by path or name on the hub."""

from collections.abc import Sequence
from typing import Any, ClassVar

from fttui import figures
from fttui.lines import Line, Role, Span, fit, fit_right, line
from fttui.widgets.choice_list import Choice
from fttui.wizard.draft import Draft
from fttui.wizard.memory_texts import memory_texts
from fttui.wizard.offers import ModelOffer, find_models
from fttui.wizard.step import SearchStep, paragraphs
from fttui.wizard.wish import Wish, judge
from fttui_engine.runs.logs import one_line


class ModelStep(SearchStep):
    """Chooses the model."""

    TITLE: ClassVar[str] = "Model"
    LABEL: ClassVar[str] = "Model"
    NAME_WIDTH: ClassVar[int] = 38
    PLACEHOLDER: ClassVar[str] = "type to search; or a path, or a name on the hub"

    def chosen(self, wish: Wish) -> str:
        """Return the model of a wish."""
        return wish.model

    def with_choice(self, value: str) -> Wish:
        """Return the wish with another model."""
        return self.draft.wish._replace(model=value)

    def offers(self, typed: str, draft: Draft) -> Sequence[Choice]:
        """Find the models on this host, and whether each would fit."""
        wish = draft.wish

        def memory_of(model: str) -> dict[str, Any]:
            return (judge(wish._replace(model=model)).report or {}).get("memory") or {}

        return [_row(each) for each in find_models(memory_of, typed)]

    def configured(self) -> str:
        """Return the model that profile and file name."""
        judged = self.draft.judged
        if self.draft.wish.model or judged is None or judged.resolved is None:
            return "-"
        return one_line(str(judged.resolved.values.get("model_name_or_path", "none yet")))

    def columns(self) -> Line:
        """Return the titles of the columns."""
        titles = f"{fit(' MODEL', self.NAME_WIDTH + 1)} {fit('TYPE', 9)} {fit_right('WEIGHTS', 7)} {fit_right('DISK', 7)}"
        return line(Span(f"{titles}  IN MEMORY", "dim"))

    def show(self, draft: Draft) -> None:
        """Show what the chosen model takes; the list is filled by what was found."""
        self.draft = draft
        self.show_first_anew()
        self.panel.show("Does it fit", paragraphs(_about(draft)))


def _about(draft: Draft) -> list[tuple[str, Role]]:
    judged = draft.judged
    if judged is None:
        return [("checking ...", "dim")]
    texts: list[tuple[str, Role]] = [(judged.trouble, "bad")] if judged.trouble else []
    errors = (judged.report or {}).get("errors") or []
    texts += [(f"x {each['message']}", "bad") for each in errors if each["key"] == "model_name_or_path"]
    return texts + memory_texts(judged)


def _row(offer: ModelOffer) -> Choice:
    role: Role = "plain" if offer.fits is None else "good" if offer.fits else "bad"
    verdict = "" if offer.fits is None else "fits, " if offer.fits else "too large, "
    memory = f"{verdict}{figures.memory(offer.predicted_bytes)}" if offer.predicted_bytes else offer.remark
    return Choice(
        offer.reference,
        line(
            f"{fit(offer.reference, ModelStep.NAME_WIDTH)} {fit(offer.model_type, 9)} ",
            fit_right(figures.count(offer.weights) if offer.weights else "", 7),
            f" {fit_right(figures.memory(offer.size_bytes) if offer.size_bytes else '', 7)}  ",
            Span(memory, role if offer.predicted_bytes else "dim"),
        ),
    )
