"""A new run in five steps: profile, model, data, hardware, review; what was chosen outlives the screen."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import Input

from fttui.keys import bindings
from fttui.keys.new_run import NEW_RUN_KEYS
from fttui.lines import Line, Span, fit_line
from fttui.screens.run_screen import CockpitScreen
from fttui.widgets.key_line import KeyLine
from fttui.widgets.line_panel import LinePanel
from fttui.wizard.data_look import Looker
from fttui.wizard.data_step import DataStep
from fttui.wizard.draft import Look, about
from fttui.wizard.hardware_step import HardwareStep
from fttui.wizard.model_step import ModelStep
from fttui.wizard.offers import ProfileOffer, offer_profiles
from fttui.wizard.profile_step import ProfileStep
from fttui.wizard.review_step import ReviewStep
from fttui.wizard.step import Step, WishChanged
from fttui.wizard.wish import Judgement, Wish, judge
from fttui_engine.errors import FttuiError
from fttui_engine.runs.run import check_name

if TYPE_CHECKING:
    from fttui_engine.runs.memory import MemoryRecord
    from fttui_engine.spec.resolved import Resolved

STEPS: tuple[type[Step], ...] = (ProfileStep, ModelStep, DataStep, HardwareStep, ReviewStep)
REVIEW = len(STEPS) - 1
TICK_SECONDS = 1.0


class ProfilesFound(Message):
    """The profiles were compared with this machine."""

    def __init__(self, offers: list[ProfileOffer]) -> None:
        super().__init__()
        self.offers = offers


class Judged(Message):
    """A configuration was read and checked."""

    def __init__(
        self, judgement: Judgement, step_seconds: tuple[float, str] | None, free: int | None
    ) -> None:
        super().__init__()
        self.judgement, self.step_seconds, self.disk_free_bytes = judgement, step_seconds, free


class LookEnded(Message):
    """A look at the data is done, or failed."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look


class ProbeEnded(Message):
    """A dry run is done, or failed."""

    def __init__(self, wish: Wish, record: "MemoryRecord | None", trouble: str = "") -> None:
        super().__init__()
        self.wish, self.record, self.trouble = wish, record, trouble


class StepLine(LinePanel):
    """Names the steps; the present one also stands in brackets."""

    DEFAULT_CSS = "StepLine { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    def show(self, at: int) -> None:
        """Show where we are."""
        self._at = at
        self.redraw()

    def draw(self, width: int, _height: int) -> list[Line]:
        """Return the one line."""
        spans = [Span(" New run  ", "strong")]
        for place, step in enumerate(STEPS):
            name = f"{place + 1} {step.TITLE}"
            here = place == self._at
            spans.append(Span(f"[{name}]" if here else f" {name} ", "strong" if here else "dim"))
        return [fit_line(tuple(spans), width)]


class NewRun(CockpitScreen):
    """Leads through the steps, checks what was chosen in threads, and starts the run."""

    SCOPE = "new-run"
    STAYS_WITHOUT_RUN = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *dict.fromkeys((*bindings("new-run"), *bindings("new-hardware"), *bindings("new-review")))
    ]

    def __init__(self) -> None:
        super().__init__()
        self._line = StepLine()
        self._steps = [step() for step in STEPS]
        self._key_line = KeyLine("new-run")
        self._is_judging = False
        self._wants_look = False
        self._wants_next = False
        self._cancel_probe: Event | None = None

    def compose(self) -> ComposeResult:
        """Lay out the steps one upon the other; only one is ever shown."""
        yield self._line
        yield from self._steps
        yield self._key_line

    def on_mount(self) -> None:
        """Go on where it was left, or begin."""
        self.draft = self.cockpit.new_run
        self._looker = Looker(lambda look: self._post(LookEnded(look)))
        # A toast of the screen before would cover what is said here.
        self.app.clear_notifications()
        self._go_to(self.draft.step)
        self._in_thread("profiles", lambda: self._post(ProfilesFound(offer_profiles())))
        self.set_interval(TICK_SECONDS, self._tick)

    def on_unmount(self) -> None:
        """End what was begun only to be seen here."""
        self._give_up_look()
        if self._cancel_probe:
            self._cancel_probe.set()

    def _post(self, message: Message) -> None:
        try:
            self.post_message(message)
        except RuntimeError:
            # The program has ended meanwhile; there is nobody to tell.
            return

    def _in_thread(self, name: str, work: Callable[[], None]) -> None:
        Thread(target=work, daemon=True, name=f"fttui-new-{name}").start()

    # Where we are

    @property
    def _step(self) -> Step:
        return self._steps[self.draft.step]

    def _go_to(self, place: int) -> None:
        self._step.close()
        self.draft.step = place
        self._line.show(place)
        self._key_line.show(self._idle(), self._step.SCOPE)
        self._step.open(self.draft)

    def on_resize(self) -> None:
        """Fill the panels at their new sizes."""
        self.call_after_refresh(self._redraw)

    def _redraw(self) -> None:
        self._line.show(self.draft.step)
        self._key_line.show(self._idle(), self._step.SCOPE)
        self._step.show(self.draft)

    def _idle(self) -> frozenset[str]:
        read_only = self.cockpit.settings.read_only
        return frozenset(key.id for key in NEW_RUN_KEYS if read_only and key.changes)

    def _tick(self) -> None:
        is_looking = bool(self.draft.look and self.draft.look.is_under_way)
        if (is_looking and self.draft.step < REVIEW) or self._cancel_probe:
            self._step.show(self.draft)

    # What was chosen, and what it amounts to

    def on_profiles_found(self, event: ProfilesFound) -> None:
        """Propose the profile that fits this machine, unless something was chosen."""
        self.draft.profiles = tuple(event.offers)
        wish = self.draft.wish
        if not self.draft.has_profile and wish == Wish():
            proposed = next((each.name for each in event.offers if each.is_proposed), "")
            self.draft.wish = wish._replace(profile=proposed)
        self._judge()
        self._step.show(self.draft)

    def on_wish_changed(self, event: WishChanged) -> None:
        """Keep what was chosen, and check it."""
        event.stop()
        self._wants_next = False
        if about(event.wish) != about(self.draft.wish):
            self.draft.probe = None
        self.draft.wish = event.wish
        self._judge()
        self._step.show(self.draft)

    def _judge(self) -> None:
        """Check in a thread, one configuration at a time: keys may come faster than answers."""
        wish = self.draft.wish
        if self._is_judging or self.draft.judged is not None:
            return
        self._is_judging = True
        home = self.cockpit.home

        def work() -> None:
            from fttui.wizard.earlier import step_seconds_of_earlier_runs
            from fttui_engine.hardware.host import disk_free_bytes

            judgement = judge(wish)
            earlier = step_seconds_of_earlier_runs(judgement.resolved, home) if judgement.resolved else None
            self._post(Judged(judgement, earlier, disk_free_bytes(home)))

        self._in_thread("check", work)

    def on_judged(self, event: Judged) -> None:
        """Show the verdict; check again where something else was chosen meanwhile."""
        self._is_judging = False
        self.draft.judgement, self.draft.step_seconds = event.judgement, event.step_seconds
        review = self._steps[REVIEW]
        if isinstance(review, ReviewStep):
            review.disk_free_bytes = event.disk_free_bytes
            if event.judgement.resolved:
                review.propose_name(proposed_name(event.judgement.resolved))
        self._judge()
        if self._wants_look and self.draft.judged:
            self._begin_look(all_records=False)
        if self._wants_next and self.draft.judged and not self.draft.step:
            self.action_next()
        self._step.show(self.draft)

    # A look at the data

    def on_data_step_look_wanted(self) -> None:
        """Look at the data as soon as it is known which it is."""
        self._begin_look(all_records=False)

    def _begin_look(self, *, all_records: bool) -> None:
        judged = self.draft.judged
        self._wants_look = judged is None
        if judged is None:
            return
        if judged.resolved is None:
            self.cockpit.tell(judged.trouble, "error")
            return
        self.draft.look = self._looker.begin(judged.resolved, all_records=all_records)
        self._step.show(self.draft)

    def on_data_step_look_unwanted(self) -> None:
        """Give up the look."""
        self._give_up_look()
        self._step.show(self.draft)

    def _give_up_look(self) -> None:
        self._wants_look = False
        self._looker.cancel()
        if self.draft.look and self.draft.look.is_under_way:
            self.draft.look = None

    def on_look_ended(self, event: LookEnded) -> None:
        """Show the examples."""
        self.draft.look = event.look
        self._step.show(self.draft)

    def action_look_at_all(self) -> None:
        """Look at all records."""
        if isinstance(self._step, DataStep):
            self._begin_look(all_records=True)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Allow what is a key of the present step."""
        named = [key for key in NEW_RUN_KEYS if key.action.partition("(")[0] == action]
        return any(self._step.SCOPE in key.scopes for key in named) if named else True

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was typed, and go on."""
        event.stop()
        if self.draft.step < REVIEW:
            self.action_next()
        elif event.input.id == "changes":
            self._step.focus()
        else:
            await self.app.run_action("launch", self)

    def action_next(self) -> None:
        """Go on to the next step, unless this one has something to do first."""
        if not self._step.confirm():
            return
        if self.draft.step:
            self._go_to(self.draft.step + 1)
            return
        # What comes next depends on what the file is.
        judged = self.draft.judged
        self._wants_next = judged is None
        if judged is not None and not is_unreadable(judged):
            self._go_to(REVIEW if is_program(judged) else 1)

    def action_back(self) -> None:
        """Give up what is under way, or go one step back; from the first one to the screen below."""
        if self._cancel_probe:
            self._cancel_probe.set()
        elif self._step.give_up():
            return
        elif self.draft.step:
            judged = self.draft.judged
            self._go_to(0 if judged and is_program(judged) else self.draft.step - 1)
        else:
            self.app.pop_screen()

    def action_mark(self, rows: int) -> None:
        """Mark another choice."""
        self._step.mark(rows)

    def action_page(self, pages: int) -> None:
        """Scroll the lower panel."""
        self._step.scroll(pages)

    def action_complete(self) -> None:
        """Complete what was typed, or go to the next field."""
        self._step.complete()

    def action_pick(self) -> None:
        """Pick the marked GPU too."""
        if isinstance(self._step, HardwareStep):
            self._step.toggle()

    def action_strategy(self) -> None:
        """Choose another way to share the work."""
        if isinstance(self._step, HardwareStep):
            self._step.next_strategy()

    def action_help(self) -> None:
        """Show what the keys of this step do."""
        from fttui.screens.help import Help

        self.app.push_screen(Help(self.cockpit.keymap.keys_of(self._step.SCOPE)))

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
        review = self._steps[REVIEW]
        typed = review.name_field.value.strip() if isinstance(review, ReviewStep) else ""
        try:
            return check_name(typed or proposed_name(resolved))
        except FttuiError as error:
            self.cockpit.tell(f"{error.message}: {error.hint}.", "error")
            return None

    def action_launch(self) -> None:
        """Start the run; the next one begins with empty steps."""
        startable = self._startable()
        name = self._chosen_name(startable[1]) if startable else None
        if startable and name:
            self.cockpit.forget_new_run()
            self.app.pop_screen()
            self.cockpit.start(name, startable[1])

    def action_probe(self) -> None:
        """Train three steps on the longest examples and throw all away but the figure."""
        startable = self._startable()
        if startable is None or self._cancel_probe:
            return
        wish, resolved = startable
        cancelled = self._cancel_probe = Event()
        self._show_probing(time.time())

        def work() -> None:
            from fttui_engine.launch.probe import ProbeCancelledError, probe

            try:
                self._post(ProbeEnded(wish, probe(resolved, cancelled)))
            except ProbeCancelledError:
                self._post(ProbeEnded(wish, None))
            except FttuiError as error:
                self._post(ProbeEnded(wish, None, f"{error.message} ({error.hint})"))

        self._in_thread("probe", work)

    def on_probe_ended(self, event: ProbeEnded) -> None:
        """Show what it took, or say why it failed."""
        self._cancel_probe = None
        if about(event.wish) == about(self.draft.wish):
            self.draft.probe = event.record
        self._show_probing(None)
        if event.trouble:
            self.cockpit.tell(event.trouble, "error")

    def _show_probing(self, since: float | None) -> None:
        review = self._steps[REVIEW]
        if isinstance(review, ReviewStep):
            review.probing_since = since
        self._step.show(self.draft)

    def action_save(self) -> None:
        """Write the configuration to a file in the present folder."""
        startable = self._startable()
        name = self._chosen_name(startable[1]) if startable else None
        if startable and name:
            self.cockpit.save_configuration(startable[1], name)

    def action_copy(self) -> None:
        """Copy the command line that starts the same run."""
        self.cockpit.copy(self.draft.wish.command())

    def action_edit(self) -> None:
        """Open the configuration in the editor: the file itself where nothing but it was chosen."""
        from fttui.editor.document import Source
        from fttui.screens.editor import open_editor
        from fttui.wizard.yaml_file import configuration_text

        judged, wish = self.draft.judged, self.draft.wish
        if about(wish) == Wish(path=wish.path) and wish.path:
            open_editor(self.app, Source(path=Path(wish.path).expanduser()))
        elif judged and judged.resolved:
            text = configuration_text(judged.resolved, wish.name or proposed_name(judged.resolved))
            open_editor(self.app, Source(profile=wish.profile, text=text))
        else:
            self.cockpit.tell(judged.trouble if judged else "It is still being checked.", "warning")


def proposed_name(resolved: "Resolved") -> str:
    """Return what the run is called if nobody says it."""
    from fttui_engine.launch.verbs import default_name

    return resolved.run.name or default_name(resolved)


def is_program(judged: Judgement) -> bool:
    """Whether it starts a program of one's own, of which there is nothing more to choose."""
    return judged.resolved is not None and bool(judged.resolved.run.command)


def is_unreadable(judged: Judgement) -> bool:
    """Whether there is no configuration at all: no such file, or one that is no YAML."""
    return judged.resolved is None or any(not error.key for error in judged.resolved.findings.errors)
