"""What the screens that show a run have in common: what can be done to it."""

from typing import TYPE_CHECKING, ClassVar, cast

from textual.screen import Screen

from fttui.actions import why_not
from fttui.keys import Scope, keys_of
from fttui.screens.dialogs import AskYesNo, TypeToConfirm
from fttui.snapshot import Snapshot
from fttui.widgets.run_table import newest_checkpoint
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import RunSummary

if TYPE_CHECKING:
    from fttui.cockpit import Cockpit
    from fttui.screens.command_palette import Command


class CockpitScreen(Screen[None]):
    """A screen that is fed with snapshots."""

    SCOPE: ClassVar[Scope]
    STAYS_WITHOUT_RUN: ClassVar[bool] = False
    """Whether it is about something else than the selected run, and stays when that is gone."""

    def __init__(self) -> None:
        super().__init__()
        # Textual adds it only after the first layout, and then makes and paints another one.
        width, breakpoints = self.app.size.width, self.app.HORIZONTAL_BREAKPOINTS or []
        self.add_class(*[name for least, name in breakpoints if width >= least][-1:])

    @property
    def cockpit(self) -> "Cockpit":
        """The application."""
        return cast("Cockpit", self.app)

    @property
    def run_shown(self) -> RunSummary | None:
        """The selected run as of the last snapshot."""
        return self.cockpit.snapshot.run(self.cockpit.selected) if self.cockpit.snapshot else None

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot; called once a second and after each action."""

    def idle_keys(self) -> frozenset[str]:
        """Return the keys that would only answer why they do nothing now."""
        read_only = self.cockpit.settings.read_only
        return frozenset(
            key.id
            for key in keys_of(self.SCOPE)
            if why_not(key.id, self.run_shown) or (read_only and key.changes)
        )

    def on_screen_resume(self) -> None:
        """Catch up on what happened while another screen was in front."""
        if self.cockpit.snapshot:
            self.show(self.cockpit.snapshot)

    def action_help(self) -> None:
        """Show what the keys do."""
        from fttui.screens.help import Help

        self.app.push_screen(Help(self.cockpit.keymap.keys_of(self.SCOPE)))

    def action_palette(self) -> None:
        """Find an action, a run or a theme by its name."""
        from fttui.screens.command_palette import CommandPalette, commands_for

        self.app.push_screen(CommandPalette(commands_for(self)), self._run_command)

    async def _run_command(self, command: "Command | None") -> None:
        if command:
            await self.app.run_action(command.action, self)

    def action_back(self) -> None:
        """Go one screen back."""
        self.app.pop_screen()


class RunScreen(CockpitScreen):
    """A screen on which things can be done to the selected run."""

    def _allowed(self, key: str) -> RunSummary | None:
        """Return the selected run if the action is possible for it, else say why it is not."""
        run = self.run_shown
        reason = why_not(key, run)
        if reason:
            self.cockpit.tell(reason, "warning")
        return None if reason else run

    def action_new_run(self) -> None:
        """Open the form for a new run."""
        from fttui.screens.new_run import NewRun

        self.app.push_screen(NewRun())

    def action_edit_run(self) -> None:
        """Edit a copy of the selected run's configuration."""
        from fttui.editor.document import Source

        if run := self._allowed("edit-run"):
            self.cockpit.edit(Source(run_id=run.id))

    def action_open_log(self) -> None:
        """Open the log of the selected run."""
        from fttui.screens.log_view import LogView

        if self._allowed("log"):
            self.app.push_screen(LogView())

    def action_stop_run(self) -> None:
        """Stop the selected run, once confirmed."""
        if run := self._allowed("stop"):
            self.app.push_screen(
                AskYesNo(f"Stop {run.id}?", what_stopping_does(run), "stop"),
                lambda yes: self.cockpit.stop(run.id, now=False) if yes else None,
            )

    def action_kill_run(self) -> None:
        """Kill the selected run, once its id was typed."""
        if run := self._allowed("kill"):
            self.app.push_screen(
                TypeToConfirm(f"Kill {run.id}?", what_killing_does(run), run.id),
                lambda yes: self.cockpit.stop(run.id, now=True) if yes else None,
            )

    def action_resume_run(self) -> None:
        """Resume the selected run."""
        if run := self._allowed("resume"):
            self.cockpit.resume(run.id)

    def action_delete_run(self) -> None:
        """Delete the selected run, once confirmed."""
        if run := self._allowed("delete"):
            self.app.push_screen(
                AskYesNo(f"Delete {run.id}?", what_deleting_does(run), "delete"),
                lambda yes: self.cockpit.delete(run.id) if yes else None,
            )


def what_stopping_does(run: RunSummary) -> str:
    """Say what will happen to a run that is stopped."""
    if run.state is State.QUEUED:
        return "It has not begun yet and will not begin."
    if run.kind == "train":
        step = f"after step {run.step} " if run.step else ""
        return (
            f"It saves a checkpoint at the next step boundary {step}and exits. r then goes on exactly there. "
            "If it has not saved within its grace period, it is killed."
        )
    return "The program is asked to end (SIGTERM) and is killed if it is still there after its grace period."


def what_killing_does(run: RunSummary) -> str:
    """Say what will be lost when a run is killed."""
    if run.kind != "train":
        return "All its processes are killed now, without being asked to end."
    saved = newest_checkpoint(run)
    kept = (
        f"Its newest checkpoint is that of step {saved}" if saved.isdecimal() else "It has no checkpoint yet"
    )
    return f"All its processes are killed now; nothing is saved. It is at step {run.step or 0}. {kept}."


def what_deleting_does(run: RunSummary) -> str:
    """Say what will be gone when a run is deleted."""
    inside = run.output_dir.is_relative_to(run.run_dir)
    checkpoints = sum(1 for each in run.checkpoints if each.complete)
    if not checkpoints:
        return "Its log, metrics and configuration are deleted for good."
    many = "checkpoint" if checkpoints == 1 else "checkpoints"
    if inside:
        return f"Its log, metrics, configuration and {checkpoints} {many} are deleted for good."
    return f"Its log, metrics and configuration are deleted for good. Its {checkpoints} {many} in its output folder stay."
