"""Step 1: a profile for this hardware, a YAML file, or both."""

from threading import Thread
from typing import ClassVar

from textual.widgets import Input

from fttui.lines import Role, Span, fit, line
from fttui.widgets.choice_list import Choice
from fttui.wizard.draft import Draft
from fttui.wizard.offers import YAML_SUFFIXES, ProfileOffer, files_like
from fttui.wizard.step import OffersFound, Step, paragraphs, post_back

NAME_WIDTH = 22
MOST_FILES = 8
NO_PROFILE = Choice(
    "", line(Span(fit(" -", NAME_WIDTH + 1)), Span(" no profile: the file alone, or the defaults", "dim"))
)


class ProfileStep(Step):
    """Chooses what the configuration starts from."""

    TITLE: ClassVar[str] = "Profile"
    LABEL: ClassVar[str] = "YAML file"
    PLACEHOLDER: ClassVar[str] = "path to a configuration, also LLaMA-Factory's; may stay empty"

    def __init__(self) -> None:
        super().__init__()
        self._listed: tuple[ProfileOffer, ...] = ()
        self._files: list[str] = []

    def open(self, draft: Draft) -> None:
        """Become the step in front, with the file that was named before."""
        super().open(draft)
        with self.prevent(Input.Changed):
            self.field.value = draft.wish.path

    def show(self, draft: Draft) -> None:
        """Show the profiles, and what is known of the chosen one and of the file."""
        self.draft = draft
        self._listed = tuple(draft.profiles)
        remark = (
            "up and down choose, * fits this machine best" if draft.is_compared else "asking the driver ..."
        )
        rows = [_row(each) for each in draft.profiles] + [NO_PROFILE]
        at = next((place for place, row in enumerate(rows) if row.value == draft.wish.profile), 0)
        self.choices.show("Profile", rows, at=at, remark=remark)
        self.panel.show("What it is", paragraphs(self._about(draft)))

    def _about(self, draft: Draft) -> list[tuple[str, Role]]:
        texts = self._about_file(draft)
        offer = next((each for each in self._listed if each.name == draft.wish.profile), None)
        if offer:
            if offer.missing:
                texts.append((f"Not for this machine as it is: {offer.missing}", "warn"))
            texts += [(text, "plain") for text in offer.header]
        elif not draft.wish.path and draft.is_compared:
            texts.append(
                ("Without profile and file all is LLaMA-Factory's default but what you choose.", "dim")
            )
        return texts

    def _about_file(self, draft: Draft) -> list[tuple[str, Role]]:
        path, judged = draft.wish.path, draft.judged
        if not path:
            return []
        if judged is None:
            return [("checking ...", "dim")]
        if judged.trouble:
            return [(judged.trouble, "bad")]
        report = judged.report or {}
        # What is missing yet may be what the next steps are for.
        errors = [each for each in report["errors"] if f"{path}:" in each["message"] or not each["key"]]
        if errors and path not in self._files:
            found = self._files[:MOST_FILES]
            return [(f"There is no file {path} yet.", "warn"), *((f"  {name}", "accent") for name in found)]
        if errors:
            return [(f"x {each['message']}", "bad") for each in errors]
        with_profile = f"; it changes profile {draft.wish.profile}" if draft.wish.profile else ""
        return [(f"v {path} can be read{with_profile}.", "good")]

    def choose(self, value: str) -> None:
        """Take a profile."""
        self.draft.has_profile = True
        self.change(self.draft.wish._replace(profile=value))

    def complete(self) -> None:
        """Go on with the path as far as there is one way only."""
        if self._files:
            self.field.value = _common(self._files)
            self.field.cursor_position = len(self.field.value)

    def _find_files(self, typed: str) -> None:
        def search() -> None:
            rows = [Choice(each.reference, ()) for each in files_like(typed, YAML_SUFFIXES)]
            post_back(self, OffersFound(typed, rows))

        Thread(target=search, daemon=True, name="fttui-files").start()

    def on_offers_found(self, event: OffersFound) -> None:
        """Offer the files that the path may go on to."""
        event.stop()
        if event.typed == self.field.value.strip():
            self._files = [each.value for each in event.choices]
            self.show(self.draft)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Take the path; a file is meant to stand alone, unless a profile was chosen by hand."""
        event.stop()
        path = event.value.strip()
        profile = self.draft.wish.profile
        if not self.draft.has_profile:
            profile = "" if path else next((each.name for each in self._listed if each.is_proposed), "")
        self._files = []
        self.change(self.draft.wish._replace(path=path, profile=profile))
        if path:
            self._find_files(path)


def _row(offer: ProfileOffer) -> Choice:
    mark = "*" if offer.is_proposed else " "
    text = offer.missing or offer.summary
    return Choice(
        offer.name,
        line(
            Span(mark, "good"),
            Span(fit(offer.name, NAME_WIDTH), "dim" if offer.missing else "plain"),
            Span(text, "dim"),
        ),
    )


def _common(texts: list[str]) -> str:
    """The beginning that all texts have in common."""
    first, last = min(texts), max(texts)
    length = next(
        (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first)
    )
    return first[:length]
