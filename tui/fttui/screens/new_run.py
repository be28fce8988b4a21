"""The form for a new run: a profile, a file or both; the check; the name; off it goes."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, Label

from fttui.lines import Line, Span, fit, line, rule
from fttui.widgets.line_panel import LinePanel
from fttui.widgets.verdict import Verdict
from fttui_engine.errors import FttuiError
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.run import check_name

if TYPE_CHECKING:
    from fttui.cockpit import Cockpit
    from fttui_engine.spec.resolved import Resolved

NAME_WIDTH = 24
EXPLANATION = (
    "Choose a profile, name a YAML file, or both: the file then changes the profile. enter checks it."
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was filled in."""

    profile: str | None
    path: str
    changes: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A line of the profile list."""

    name: str | None
    summary: str


class Checked(Message):
    """A configuration has been read and judged."""

    def __init__(
        self, wish: Wish, report: dict[str, Any], resolved: "Resolved | None", trouble: str = ""
    ) -> None:
        super().__init__()
        self.wish, self.report, self.resolved, self.trouble = wish, report, resolved, trouble


class ProfileList(LinePanel, can_focus=True):
    """A list to choose one profile from, or none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "next", id="profile-next"),
        Binding("k,up", "move(-1)", "previous", id="profile-previous"),
        Binding("enter", "choose", "check", id="profile-choose"),
    ]

    class Moved(Message):
        """Another profile was marked."""

    class Chosen(Message):
        """Enter was pressed on a profile."""

    def __init__(self) -> None:
        super().__init__(id="profiles")
        self.choices: list[Choice] = [Choice(None, "no profile: the file alone")]
        self.at = 0
        self.touched = False

    @property
    def chosen(self) -> str | None:
        """The name of the profile under the cursor."""
        return self.choices[self.at].name

    def fill(self, choices: Sequence[Choice]) -> None:
        """Offer profiles; the first one is marked until a person marks another."""
        self.choices = [*choices, Choice(None, "no profile: the file alone")]
        self.at = 0
        self.redraw()

    def mark_none(self) -> None:
        """Mark that no profile is wanted, unless one was chosen by hand."""
        if not self.touched:
            self.at = len(self.choices) - 1
            self.redraw()

    def action_move(self, rows: int) -> None:
        """Mark another profile."""
        self.touched = True
        self.at = min(max(0, self.at + rows), len(self.choices) - 1)
        self.redraw()
        self.post_message(self.Moved())

    def action_choose(self) -> None:
        """Tell that the marked profile is wanted."""
        self.post_message(self.Chosen())

    def on_focus(self) -> None:
        """Show where the keys go."""
        self.redraw()

    def on_blur(self) -> None:
        """Show that the keys go elsewhere."""
        self.redraw()

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading and the profiles around the marked one."""
        first = max(0, min(self.at - (height - 2), len(self.choices) - (height - 1)))
        lines: list[Line] = [
            rule("Profile", width, "j k choose, tab to the next field" if self.has_focus else "")
        ]
        for index, choice in enumerate(self.choices[first : first + height - 1], first):
            marked = index == self.at
            lines.append(
                line(
                    Span("▌" if marked else " ", "accent", marked and self.has_focus),
                    Span(f" {fit(choice.name or '-', NAME_WIDTH)} ", "plain", marked and self.has_focus),
                    Span(choice.summary, "dim", marked and self.has_focus),
                )
            )
        return lines


class NewRun(Screen[None]):
    """Fills in, checks and starts a new run."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "back", id="new-back")]

    def __init__(self) -> None:
        super().__init__()
        self._checked: tuple[Wish, Resolved] | None = None
        self._proposed = ""

    def compose(self) -> ComposeResult:
        """Lay out the form."""
        yield ProfileList()
        yield Label("YAML file", classes="field")
        yield Input(placeholder="path to a configuration; may stay empty", id="path", compact=True)
        yield Label("Changes", classes="field")
        yield Input(
            placeholder="KEY=VALUE KEY=VALUE ..., as with --set; may stay empty", id="changes", compact=True
        )
        yield Label("Name", classes="field")
        yield Input(placeholder="of the run; may stay empty", id="name", compact=True)
        yield Verdict(id="verdict")
        yield Label(
            "enter check, then enter again on the name: start   tab next field   esc back", id="form-keys"
        )

    def on_mount(self) -> None:
        """Offer the profiles."""
        from fttui_engine.spec.profiles import list_profiles

        # A toast of the screen before would cover the verdict.
        self.app.clear_notifications()
        profiles = [Choice(profile.name, one_line(profile.summary)) for profile in list_profiles()]
        self.query_one(ProfileList).fill(profiles)
        self.query_one(ProfileList).styles.height = min(len(profiles) + 2, max(4, self.app.size.height // 3))
        self.query_one(Verdict).say(EXPLANATION)

    @on(Input.Changed, "#path,#changes")
    def _ask_for_a_new_check(self, event: Input.Changed) -> None:
        if event.input.id == "path" and event.value:
            self.query_one(ProfileList).mark_none()
        self._forget_the_check()

    @on(ProfileList.Moved)
    def _forget_the_check(self) -> None:
        self._checked = None
        self.query_one(Verdict).say(EXPLANATION)

    @on(ProfileList.Chosen)
    @on(Input.Submitted, "#path,#changes")
    def _check(self) -> None:
        wish = self._wish()
        if wish.profile is None and not wish.path:
            self.query_one(Verdict).say("There is nothing to check: choose a profile or name a file.", "warn")
            return
        self.query_one(Verdict).say("checking ...")
        Thread(target=self._check_in_thread, args=(wish,), daemon=True, name="fttui-check").start()

    def _wish(self) -> Wish:
        return Wish(
            self.query_one(ProfileList).chosen,
            self.query_one("#path", Input).value.strip(),
            self.query_one("#changes", Input).value.strip(),
        )

    def _check_in_thread(self, wish: Wish) -> None:
        from fttui_engine.spec.check import check
        from fttui_engine.spec.load import resolve

        path = Path(wish.path).expanduser() if wish.path else None
        try:
            resolved = resolve(path, profile=wish.profile, overrides=shlex.split(wish.changes))
            self.post_message(Checked(wish, check(resolved).to_json(), resolved))
        except FttuiError as error:
            self.post_message(Checked(wish, {}, None, f"{error.message} {error.hint}".strip()))
        except ValueError as error:
            self.post_message(Checked(wish, {}, None, f"The changes cannot be read: {error}."))

    def on_checked(self, event: Checked) -> None:
        """Show the verdict and, if it is good, go on to the name."""
        if event.wish != self._wish():
            return
        verdict = self.query_one(Verdict)
        if event.resolved is None:
            verdict.say(event.trouble, "bad")
            return
        verdict.show(event.report)
        if event.resolved.ok:
            self._checked = (event.wish, event.resolved)
            name = self.query_one("#name", Input)
            if name.value in ("", self._proposed):
                name.value = self._proposed = self._proposed_name(event.resolved)
            name.focus()

    def _proposed_name(self, resolved: "Resolved") -> str:
        from fttui_engine.launch.verbs import default_name

        return resolved.run.name or default_name(resolved)

    @on(Input.Submitted, "#name")
    def _start(self) -> None:
        if self._checked is None or self._checked[0] != self._wish():
            self._check()
            return
        resolved = self._checked[1]
        name = self.query_one("#name", Input).value.strip() or self._proposed_name(resolved)
        try:
            check_name(name)
        except FttuiError as error:
            self.query_one(Verdict).say(f"{error.message}: {error.hint}.", "bad")
            return
        self.app.pop_screen()
        cast("Cockpit", self.app).start(name, resolved)

    def action_leave(self) -> None:
        """Go back without starting anything."""
        self.app.pop_screen()
