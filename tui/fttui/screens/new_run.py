"""A new run in five steps: profile, model, data, hardware, review; what was chosen outlives the screen."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from fttui.keys import bindings
from fttui.keys.new_run import NEW_RUN_KEYS
from fttui.screens.new_run_checks import NewRunChecks, proposed_name
from fttui.widgets.key_line import KeyLine
from fttui.wizard.data_step import DataStep
from fttui.wizard.draft import about
from fttui.wizard.hardware_step import HardwareStep
from fttui.wizard.model_step import ModelStep
from fttui.wizard.profile_step import ProfileStep
from fttui.wizard.step import Step
from fttui.wizard.step_line import StepLine
from fttui.wizard.wish import Judgement, Wish
from fttui_engine.errors import FttuiError
from fttui_engine.runs.run import check_name

if TYPE_CHECKING:
    from fttui_engine.spec.resolved import Resolved

TICK_SECONDS = 1.0


class NewRun(NewRunChecks):
    """Leads through the steps, checks what was chosen in threads, and starts the run."""

    SCOPE = "new-run"
    STAYS_WITHOUT_RUN = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *dict.fromkeys((*bindings("new-run"), *bindings("new-hardware"), *bindings("new-review")))
    ]

    def __init__(self) -> None:
        super().__init__()
        self._steps: list[Step] = [ProfileStep(), ModelStep(), DataStep(), HardwareStep(), self.review]
        self._line = StepLine([step.TITLE for step in self._steps])
        self._key_line = KeyLine("new-run")

    def compose(self) -> ComposeResult:
        """Lay out the steps one upon the other; only one is ever shown."""
        yield self._line
        yield from self._steps
        yield self._key_line

    def on_mount(self) -> None:
        """Go on where it was left, or begin."""
        self.draft = self.cockpit.new_run
        # A toast of the screen before would cover what is said here.
        self.app.clear_notifications()
        self.go_to(self.draft.step)
        self.find_profiles()
        self.set_interval(TICK_SECONDS, self._tick)

    # Where we are

    @property
    def step(self) -> Step:
        """The step in front."""
        return self._steps[self.draft.step]

    def go_to(self, place: int) -> None:
        """Bring a step to the front."""
        self.step.close()
        self.draft.step = place
        self._line.show(place)
        self._key_line.show(self._idle(), self.step.SCOPE)
        self.step.open(self.draft)

    def on_resize(self) -> None:
        """Fill the panels at their new sizes."""
        self.call_after_refresh(self._redraw)

    def _redraw(self) -> None:
        self._line.show(self.draft.step)
        self._key_line.show(self._idle(), self.step.SCOPE)
        self.step.show(self.draft)

    def _idle(self) -> frozenset[str]:
        read_only = self.cockpit.settings.read_only
        return frozenset(key.id for key in NEW_RUN_KEYS if read_only and key.changes)

    def _tick(self) -> None:
        is_looking = bool(self.draft.look and self.draft.look.is_under_way)
        if (is_looking and self.step is not self.review) or self._cancel_probe:
            self.step.show(self.draft)

    def action_look_at_all(self) -> None:
        """Look at all records."""
        if isinstance(self.step, DataStep):
            self._begin_look(all_records=True)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Allow what is a key of the present step."""
        named = [key for key in NEW_RUN_KEYS if key.action.partition("(")[0] == action]
        return any(self.step.SCOPE in key.scopes for key in named) if named else True

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was typed, and go on."""
        event.stop()
        if self.step is not self.review:
            self.action_next()
        elif event.input.id == "changes":
            self.step.focus()
        else:
            await self.app.run_action("launch", self)

    def action_next(self) -> None:
        """Go on to the next step, unless this one has something to do first."""
        if not self.step.confirm():
            return
        if self.draft.step:
            self.go_to(self.draft.step + 1)
            return
        # No other profile is proposed any more, and what comes next depends on what the file is.
        self.draft.has_profile = True
        judged = self.draft.judged
        self._wants_next = judged is None
        if judged is not None and is_unreadable(judged):
            errors = judged.resolved.findings.errors if judged.resolved else []
            self.cockpit.tell(judged.trouble or errors[0].message, "warning")
        elif judged is not None:
            self.go_to(self._steps.index(self.review) if is_program(judged) else 1)

    def action_review(self) -> None:
        """Go to the review at once: what the other steps propose may be right."""
        self.draft.has_profile = True
        self.go_to(self._steps.index(self.review))

    def action_back(self) -> None:
        """Give up what is under way, or go one step back; from the first one to the screen below."""
        if self._cancel_probe:
            self._cancel_probe.set()
        elif self.step.give_up():
            return
        elif self.draft.step:
            judged = self.draft.judged
            self.go_to(0 if judged and is_program(judged) else self.draft.step - 1)
        else:
            self.app.pop_screen()

    def action_mark(self, rows: int) -> None:
        """Mark another choice."""
        self.step.mark(rows)

    def action_page(self, pages: int) -> None:
        """Scroll the lower panel."""
        self.step.scroll(pages)

    def action_complete(self) -> None:
        """Complete what was typed, or go to the next field."""
        self.step.complete()

    def action_pick(self) -> None:
        """Pick the marked GPU too."""
        if isinstance(self.step, HardwareStep):
            self.step.toggle()

    def action_strategy(self) -> None:
        """Choose another way to share the work."""
        if isinstance(self.step, HardwareStep):
            self.step.next_strategy()

    def action_anew(self) -> None:
        """Forget what was chosen."""
        self.step.give_up()
        self.cockpit.forget_new_run()
        self.draft = self.cockpit.new_run
        self.draft.is_recalled = True
        self.review.proposed_name = ""
        self.go_to(0)
        self.find_profiles()

    def action_help(self) -> None:
        """Show what the keys of this step do."""
        from fttui.screens.help import Help

        self.app.push_screen(Help(self.cockpit.keymap.keys_of(self.step.SCOPE)))

    # What is done at the end

    def _startable(self) -> "tuple[Wish, Resolved] | None":
        """Return what was judged if it can be started, else say why it cannot."""
        judged = self.draft.judged
        if judged is None:
            self.cockpit.tell("It is still being checked.", "warning")
        elif not judged.ok or judged.resolved is None:
            self.cockpit.tell(
                "There is something to correct first: esc leads back, tab to the changes.", "warning"
            )
        else:
            return judged.wish, judged.resolved
        return None

    def _chosen_name(self, resolved: "Resolved") -> str | None:
        typed = self.review.name_field.value.strip()
        try:
            return check_name(typed or proposed_name(resolved))
        except FttuiError as error:
            self.cockpit.tell(f"{error.message}: {error.hint}.", "error")
            return None

    def action_launch(self) -> None:
        """Start the run; the next one begins with empty steps."""
        self._launch(queued=False)

    def action_queue(self) -> None:
        """Let the run start by itself once as many GPUs are free as it wants."""
        self._launch(queued=True)

    def _launch(self, *, queued: bool) -> None:
        startable = self._startable()
        name = self._chosen_name(startable[1]) if startable else None
        if startable and name:
            self.cockpit.forget_new_run()
            self.app.pop_screen()
            self.cockpit.start(name, startable[1], queued=queued)

    def action_probe(self) -> None:
        """Train three steps on the longest examples and throw all away but the figure."""
        startable = self._startable()
        if startable and not self._cancel_probe:
            self.probe(*startable)

    def action_save(self) -> None:
        """Write the configuration to a file in the present folder."""
        startable = self._startable()
        name = self._chosen_name(startable[1]) if startable else None
        if startable and name:
            self.cockpit.save_configuration(startable[1], name)

    def action_copy(self) -> None:
        """Copy the command line that starts the same run."""
        judged = self.draft.judged
        if judged and judged.resolved:
            self.cockpit.copy(judged.wish.command())
        else:
            self.cockpit.tell(judged.trouble if judged else "It is still being checked.", "warning")

    def action_edit(self) -> None:
        """Open the configuration in the editor: the file itself where nothing but it was chosen."""
        from fttui.editor.document import Source
        from fttui.screens.editor import open_editor
        from fttui.wizard.yaml_file import configuration_text

        judged, wish = self.draft.judged, self.draft.wish
        if about(wish) == Wish(path=wish.path) and wish.path:
            open_editor(self.app, Source(path=Path(os.path.expanduser(wish.path))))
        elif judged and judged.resolved:
            text = configuration_text(judged.resolved, wish.name or proposed_name(judged.resolved))
            open_editor(self.app, Source(profile=wish.profile, text=text))
        else:
            self.cockpit.tell(judged.trouble if judged else "It is still being checked.", "warning")


def is_program(judged: Judgement) -> bool:
    """Whether it starts a program of one's own, of which there is nothing more to choose."""
    return judged.resolved is not None and bool(judged.resolved.run.command)


def is_unreadable(judged: Judgement) -> bool:
    """Whether there is no configuration at all: no such file, or one that is no YAML."""
    return judged.resolved is None or any(not error.key for error in judged.resolved.findings.errors)
