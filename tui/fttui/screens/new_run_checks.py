"""What threads find out for the steps of a new run: the verdict, the look at the data, the dry run."""

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import TYPE_CHECKING

from textual.message import Message

from fttui.screens.run_screen import CockpitScreen
from fttui.wizard.data_look import Looker
from fttui.wizard.draft import Draft, Look, about
from fttui.wizard.keeping import recall
from fttui.wizard.offers import ProfileOffer, list_offers, offer_profiles
from fttui.wizard.review_step import ReviewStep
from fttui.wizard.step import Step, WishChanged
from fttui.wizard.wish import Judgement, Wish, judge
from fttui_engine.errors import FttuiError

if TYPE_CHECKING:
    from fttui_engine.runs.memory import MemoryRecord
    from fttui_engine.spec.resolved import Resolved


class ProfilesListed(Message):
    """The profiles are known, but not yet what this machine has."""

    def __init__(self, offers: list[ProfileOffer]) -> None:
        super().__init__()
        self.offers = offers


class ProfilesFound(Message):
    """The profiles were compared with this machine."""

    def __init__(self, offers: list[ProfileOffer], kept: Wish | None) -> None:
        super().__init__()
        self.offers, self.kept = offers, kept


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


class NewRunChecks(CockpitScreen):
    """Keeps what was chosen and finds out what it amounts to; a subclass leads through the steps."""

    draft: Draft

    def __init__(self) -> None:
        super().__init__()
        self.review = ReviewStep()
        self._looker = Looker(lambda look: self._post(LookEnded(look)))
        self._is_judging = False
        self._wants_look = False
        self._wants_next = False
        self._cancel_probe: Event | None = None

    @property
    def step(self) -> Step:
        """The step in front."""
        raise NotImplementedError

    def go_to(self, place: int) -> None:
        """Bring a step to the front."""
        raise NotImplementedError

    def action_next(self) -> None:
        """Go on to the next step."""
        raise NotImplementedError

    def on_unmount(self) -> None:
        """End what was begun only to be seen here."""
        self._give_up_look()
        if self._cancel_probe:
            self._cancel_probe.set()

    def find_profiles(self) -> None:
        """Compare the profiles with this machine, and see what was left when the program ended."""
        home, is_new = self.cockpit.home, not self.draft.is_recalled

        def work() -> None:
            self._post(ProfilesListed(list_offers()))
            # A GPU that hangs holds the driver's answer for tens of seconds.
            self._post(ProfilesFound(offer_profiles(), recall(home) if is_new else None))

        self._in_thread("profiles", work)

    def _post(self, message: Message) -> None:
        try:
            self.post_message(message)
        except RuntimeError:
            # The program has ended meanwhile; there is nobody to tell.
            return

    def _in_thread(self, name: str, work: Callable[[], None]) -> None:
        Thread(target=work, daemon=True, name=f"fttui-new-{name}").start()

    # What was chosen, and what it amounts to

    def on_profiles_listed(self, event: ProfilesListed) -> None:
        """Show what there is to choose from, while the driver is asked."""
        if not self.draft.profiles:
            self.draft.profiles = tuple(event.offers)
            self.step.show(self.draft)

    def on_profiles_found(self, event: ProfilesFound) -> None:
        """Propose the profile that fits this machine, unless something was chosen, also before a lost connection."""
        self.draft.profiles, self.draft.is_compared = tuple(event.offers), True
        is_untouched = not self.draft.has_profile and self.draft.wish == Wish()
        self.draft.is_recalled = True
        if is_untouched and event.kept:
            # Filled in, but at the first step: an enter that is already on its way must not start what it cannot see.
            self.draft.wish, self.draft.has_profile = event.kept, True
            self.go_to(0)
            self.cockpit.tell("What was chosen before is filled in; f9 begins anew.")
        elif is_untouched:
            proposed = next((each.name for each in event.offers if each.is_proposed), "")
            self.draft.wish = self.draft.wish._replace(profile=proposed)
        self._judge()
        self.step.show(self.draft)

    def on_wish_changed(self, event: WishChanged) -> None:
        """Keep what was chosen, and check it."""
        event.stop()
        self._wants_next = False
        if about(event.wish) != about(self.draft.wish):
            self.draft.probe = None
        self.draft.wish = event.wish
        self.cockpit.wish_keeper.keep(event.wish)
        self._judge()
        self.step.show(self.draft)

    def on_screen_resume(self) -> None:
        """Check again: the file may have been changed on the screen that was in front."""
        super().on_screen_resume()
        if self.draft.judgement:
            self.draft.judgement = None
            self._judge()

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
        self.review.disk_free_bytes = event.disk_free_bytes
        if event.judgement.resolved:
            self.review.propose_name(proposed_name(event.judgement.resolved))
        self._judge()
        if self._wants_look and self.draft.judged:
            self._begin_look(all_records=False)
        if self._wants_next and self.draft.judged and not self.draft.step:
            self.action_next()
        self.step.show(self.draft)

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
        self.step.show(self.draft)

    def on_data_step_look_unwanted(self) -> None:
        """Give up the look."""
        self._give_up_look()
        self.step.show(self.draft)

    def _give_up_look(self) -> None:
        self._wants_look = False
        self._looker.cancel()
        if self.draft.look and self.draft.look.is_under_way:
            self.draft.look = None

    def on_look_ended(self, event: LookEnded) -> None:
        """Show the examples."""
        self.draft.look = event.look
        self.step.show(self.draft)

    # A dry run

    def probe(self, wish: Wish, resolved: "Resolved") -> None:
        """Train three steps on the longest examples and throw all away but the figure."""
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
        self.review.probing_since = since
        self.step.show(self.draft)


def proposed_name(resolved: "Resolved") -> str:
    """Return what the run is called if nobody says it."""
    from fttui_engine.launch.verbs import default_name

    return resolved.run.name or default_name(resolved)
