"""The application: keeps the newest snapshot and the selection, and hands both to the screen in front."""

import asyncio
import contextlib
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from textual import events
from textual.screen import ModalScreen

from fttui import clipboard
from fttui.actions import Actions
from fttui.charts.request import ChartRequest
from fttui.collector import Collector
from fttui.key_order import KeyOrder
from fttui.keys import Scope
from fttui.messages import ActionEnded, SnapshotTaken, ThreadCrashed, TroubleMet
from fttui.pending import PendingActions
from fttui.screens.dashboard import Dashboard
from fttui.screens.places import PLACES, place
from fttui.screens.run_screen import CockpitScreen
from fttui.session import Session, SessionKeeper
from fttui.settings import Settings
from fttui.snapshot import Snapshot
from fttui.user_app import UserApp
from fttui_engine.runs.home import state_home
from fttui_engine.runs.states import State

if TYPE_CHECKING:
    from textual.message import Message

    from fttui.editor.document import Source
    from fttui.recording import Recording
    from fttui.wizard.draft import Draft
    from fttui.wizard.keeping import WishKeeper
    from fttui_engine.runs.run import Run
    from fttui_engine.spec.resolved import Resolved

BEHIND_DIALOG_SECONDS = 5.0
"""How old the numbers around an open dialog may get; Textual paints the whole screen for them (6 to 24 KB)."""
SESSION_SECONDS = 1.0


class Cockpit(UserApp):
    """Shows runs and does to them what the keys say; owns no run and is the parent of none."""

    CSS_PATH = "cockpit.tcss"
    TITLE = "fttui"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual declares it without ClassVar
        (0, "-small"),
        (110, "-medium"),
        (180, "-wide"),
    ]

    def __init__(
        self,
        home: Path | None = None,
        *,
        session: Session = Session(),  # noqa: B008 - a constant
        settings: Settings | None = None,
        edits: "Source | None" = None,
        recording: "Recording | None" = None,
    ) -> None:
        super().__init__(settings or Settings())
        self.home = home or state_home()
        self.snapshot: Snapshot | None = None
        self.selected = session.run
        self._begins_at, self._edits = session.screen, edits
        self.run_filter = session.run_filter
        """Words that a run must have in its name or state to be listed."""
        self.marked = session.marked
        """The runs that charts and configurations are compared with."""
        self.chart = ChartRequest()
        """How charts were looked at last."""
        self._taken = Snapshot(0.0)
        self._key_order = KeyOrder(self, super().on_event)
        self._pending = PendingActions()
        self._collector = Collector(
            self.home,
            lambda snapshot: self.post_from_thread(SnapshotTaken(snapshot)),
            poll_seconds=self.settings.refresh_seconds,
            adopts=not self.settings.read_only,
            recording=recording,
        )
        self._session = SessionKeeper(
            self.home,
            session,
            lambda text: self.post_from_thread(TroubleMet(text)),
        )
        self._shown_behind_at = 0.0
        self._actions = Actions(self._collector, self.post_from_thread, self.home)

    @cached_property
    def new_run(self) -> "Draft":
        """The new run as far as it has been filled in."""
        from fttui.wizard.draft import Draft

        return Draft()

    @cached_property
    def wish_keeper(self) -> "WishKeeper":
        """What keeps the new run in a file."""
        from fttui.wizard.keeping import WishKeeper

        return WishKeeper(self.home, lambda text: self.post_from_thread(TroubleMet(text)))

    def get_default_screen(self) -> Dashboard:
        """Return what lies below everything; an empty screen below it would be composed, and paint it once more."""
        return Dashboard()

    def on_mount(self) -> None:
        """Show where the screens begin, and begin to read."""
        if self._begins_at in PLACES:
            self.push_screen(place(self._begins_at))
        if self._edits:
            self.edit(self._edits, ends_program=True)
        # The shell has written over the screen of a program that was suspended.
        self.app_resume_signal.subscribe(self, lambda _: self.screen.refresh(), immediate=True)
        self.run_worker(self._key_order.run(), name="keys")
        self._collector.watch(self.selected)
        self._collector.start(lambda text: self.post_from_thread(TroubleMet(text)))
        # The header says so when the snapshots stop coming, which no snapshot can.
        self.set_interval(2.0, self._redraw_header)
        self.set_interval(SESSION_SECONDS, self._keep_session)
        self.tell_problems()

    def on_unmount(self) -> None:
        """End the threads."""
        self._collector.close()

    # What the palette offers

    def action_take_theme(self, name: str) -> None:
        """Change to a theme, for good."""
        from fttui.settings_file import write_theme

        self.theme = name
        self._actions.tell(lambda: f"The theme is {name}, as {write_theme(name)} says from now on.")

    def action_open_place(self, run_id: str, scope: Scope) -> None:
        """Show a page of a run, on nothing but the dashboard."""
        while not isinstance(self.screen_stack[-1], Dashboard) and len(self.screen_stack) > 1:
            self.pop_screen()
        self.select(run_id)
        self.push_screen(place(scope))

    def _keep_session(self) -> None:
        scopes = [each.SCOPE for each in self.screen_stack if isinstance(each, CockpitScreen)]
        screen: Scope = next((scope for scope in reversed(scopes) if scope in PLACES), "dashboard")
        if self.settings.restore_session and self.snapshot:
            self._session.keep(Session(screen, self.selected, self.marked, self.run_filter))

    def post_from_thread(self, message: "Message") -> None:
        """Post a message from any thread; after the end there is nobody to tell."""
        with contextlib.suppress(RuntimeError):
            self.post_message(message)

    async def on_event(self, event: events.Event) -> None:
        """Let keys and pasted text wait for their turn."""
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            self._key_order.put(event)
        else:
            await super().on_event(event)

    # What is shown

    def on_snapshot_taken(self, event: SnapshotTaken) -> None:
        """Show a new snapshot."""
        self._taken = event.snapshot
        self._show_expected()

    def _show_expected(self) -> None:
        """Show the last snapshot with what was asked for since, and keep the selection on its run."""
        self.selected = self._pending.new_id(self.selected, self._taken) or self.selected
        self.snapshot = self._pending.lay_over(self._taken)
        if self.snapshot.run(self.selected) is None and not self._pending.awaits(self.selected):
            self._leave_gone_run()
            self.selected = self.snapshot.runs[0].id if self.snapshot.runs else None
        self._collector.watch(self.selected)
        self._show()

    def _leave_gone_run(self) -> None:
        """Go back to the dashboard rather than show another run on the page of one that is gone."""
        while self.screen_stack and isinstance(self.screen_stack[-1], CockpitScreen):
            if self.screen_stack[-1].STAYS_WITHOUT_RUN:
                break
            self.pop_screen()

    def _show(self) -> None:
        # At the very end there is no screen any more, while snapshots may still come.
        screens = [screen for screen in self.screen_stack if isinstance(screen, CockpitScreen)]
        if not self.snapshot or not screens:
            return
        if screens[-1] is self.screen_stack[-1]:
            with self.batch_update():
                screens[-1].show(self.snapshot)
        elif self._is_seen_behind(screens[-1]) and (
            time.monotonic() - self._shown_behind_at >= BEHIND_DIALOG_SECONDS
        ):
            self._shown_behind_at = time.monotonic()
            screens[-1].show(self.snapshot)
            self.screen_stack[-1].refresh()

    def _is_seen_behind(self, screen: CockpitScreen) -> bool:
        """Whether only dialogs lie over a screen; the editor hides it, and would be painted for nothing."""
        above = self.screen_stack[self.screen_stack.index(screen) + 1 :]
        return all(isinstance(each, ModalScreen) for each in above)

    def _redraw_header(self) -> None:
        screen = self.screen_stack[-1] if self.screen_stack else None
        if isinstance(screen, Dashboard):
            screen.redraw_header()

    def select(self, run_id: str) -> None:
        """Select a run."""
        if run_id != self.selected:
            self.selected = run_id
            self._collector.watch(run_id)
            self._show()

    def mark(self, run_id: str) -> None:
        """Mark a run for comparison, or take its mark away."""
        without = tuple(each for each in self.marked if each != run_id)
        self.marked = (*self.marked, run_id) if len(without) == len(self.marked) else without
        self._show()

    def copy(self, text: str) -> None:
        """Copy a text to the clipboard of the terminal."""
        loop = asyncio.get_running_loop()

        def write(sequence: str) -> None:
            if self._driver:
                loop.call_soon_threadsafe(self._driver.write, sequence)

        # tmux may take its time.
        self._actions.tell(lambda: clipboard.copy(text, write))

    def save(self, lines: list[str], name: str, suffix: str = "txt") -> None:
        """Write lines to a file in the present folder."""
        self._actions.tell(lambda: f"Written to {clipboard.save(lines, name, Path.cwd(), suffix)}")

    def save_configuration(self, resolved: "Resolved", name: str) -> None:
        """Write a configuration to a file in the present folder."""
        from fttui.wizard.yaml_file import write_configuration

        self._actions.tell(lambda: f"Written to {write_configuration(resolved, name, Path.cwd())}")

    def forget_new_run(self) -> None:
        """Let the next new run begin with nothing chosen."""
        self.__dict__.pop("new_run", None)
        self.wish_keeper.forget()

    def edit(self, source: "Source", *, ends_program: bool = False) -> None:
        """Open the configuration editor; leaving it may end the program."""
        from fttui.screens.editor import Editor

        self.push_screen(Editor(source, ends_program=ends_program))

    # What is done

    def start(self, name: str, resolved: "Resolved", *, queued: bool = False) -> None:
        """Start a run from a checked configuration, at once or when GPUs are free."""
        from fttui_engine.launch import verbs

        self.selected = key = f"{name} ..."
        self._pending.expect_new(key, name, time.time())

        def begin() -> "Run":
            # Here and not above: the row of the run must show within 200 ms of the key.
            from fttui_engine.launch.queue import QueueWish

            return verbs.start(resolved, name, queue=QueueWish() if queued else None)

        self._actions.start(key, begin)
        self._show_expected()

    def stop(self, run_id: str, *, now: bool) -> None:
        """Stop or kill a run."""
        self._pending.expect(run_id, State.STOPPING, time.time())
        self._actions.stop(run_id, now=now)
        self._show_expected()

    def resume(self, run_id: str, from_step: int | None = None) -> None:
        """Resume a run."""
        self._pending.expect(run_id, State.STARTING, time.time())
        self._actions.resume(run_id, from_step)
        self._show_expected()

    def delete(self, run_id: str) -> None:
        """Delete a run."""
        self._actions.delete(run_id)

    def delete_checkpoint(self, run_id: str, step: int) -> None:
        """Delete one checkpoint of a run."""
        self._actions.delete_checkpoint(run_id, step)

    def on_action_ended(self, event: ActionEnded) -> None:
        """Say how an action ended."""
        self._pending.end(event.key, time.time(), failed=event.failed, run_id=event.run_id)
        if event.run_id and self.selected == event.key:
            self.selected = event.run_id
        self.tell(event.text, "error" if event.failed else "information")
        self._show_expected()
        self._collector.wake()

    def on_trouble_met(self, event: TroubleMet) -> None:
        """Say that something went wrong."""
        self.tell(event.text, "warning")

    def on_thread_crashed(self, event: ThreadCrashed) -> None:
        """Leave with the report: without its threads the screen would show the past for ever."""
        self.exit(return_code=1, message=event.report)

    async def action_quit(self) -> None:
        """Leave; the runs go on."""
        self._actions.wait()
        self.exit()
