"""The checkpoints of a run: how large, how old, how good, and going on from one of them."""

import time
from bisect import bisect_right
from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType

from fttui import figures
from fttui.history import Point
from fttui.keys import bindings
from fttui.lines import Line, Span, fit, fit_right, line
from fttui.screens.dialogs import AskYesNo
from fttui.screens.list_page import ListPage
from fttui.snapshot import RunDetail, Snapshot
from fttui_engine.runs.checkpoints import Checkpoint
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.summary import RunSummary

WITH_PATH = 110
COLUMNS = line(Span("     STEP    SIZE   SEALED            AGE   EVAL LOSS", "dim"))


class CheckpointPage(ListPage):
    """Lists the checkpoints of a run, the newest first."""

    SCOPE = "checkpoints"
    HAS_CURSOR = True
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("checkpoints")]

    def __init__(self) -> None:
        super().__init__()
        self._checkpoints: Sequence[Checkpoint] = ()

    def show_run(self, run: RunSummary, detail: RunDetail | None, snapshot: Snapshot) -> None:
        """Show the checkpoints; the cursor stays on its own when a newer one is saved."""
        chosen = self._chosen()
        self._checkpoints = run.checkpoints[::-1]
        steps = [each.step for each in self._checkpoints]
        if chosen and chosen.step in steps:
            self._list.cursor = steps.index(chosen.step)
        evaluations = detail.evaluations if detail else ()
        shown = self._checkpoints
        size = figures.memory(sum(each.size_bytes for each in self._checkpoints))
        self._list.show(
            "Checkpoints",
            lambda width: [checkpoint_line(each, evaluations, snapshot.taken_at, width) for each in shown],
            remark=f"{len(shown)}, {size}" if shown else "",
            columns=COLUMNS,
            empty="None yet."
            if run.kind == "train"
            else "fttui knows nothing of the checkpoints of this program.",
        )
        self._keys.show(self.idle_keys())

    def _chosen(self) -> Checkpoint | None:
        at = self._list.cursor
        return self._checkpoints[at] if at < len(self._checkpoints) else None

    def _chosen_whole(self) -> Checkpoint | None:
        """Return what is under the cursor where it can be loaded, and say why not where it cannot."""
        chosen = self._chosen()
        if chosen is None or chosen.complete:
            return chosen
        self.cockpit.tell(
            f"The checkpoint of step {chosen.step} was never sealed: it is not whole.", "warning"
        )
        return None

    def action_resume_from(self) -> None:
        """Go on from the checkpoint under the cursor, once confirmed."""
        run = self._allowed("checkpoint-resume")
        if run is None or (chosen := self._chosen_whole()) is None:
            return
        self.app.push_screen(
            AskYesNo(
                f"Go on with {run.id} from step {chosen.step}?", what_going_back_does(run, chosen), "resume"
            ),
            lambda yes: self.cockpit.resume(run.id, chosen.step) if yes else None,
        )

    def action_delete_checkpoint(self) -> None:
        """Delete the checkpoint under the cursor, once confirmed."""
        run, chosen = self._allowed("checkpoint-delete"), self._chosen()
        if run is None or chosen is None:
            return
        self.app.push_screen(
            AskYesNo(
                f"Delete the checkpoint of step {chosen.step}?",
                f"{figures.memory(chosen.size_bytes)} in {one_line(str(chosen.path))} are deleted for good.",
                "delete",
            ),
            lambda yes: self.cockpit.delete_checkpoint(run.id, chosen.step) if yes else None,
        )

    def action_ask_both(self) -> None:
        """Ask the model of the checkpoint under the cursor, and its base."""
        run = self._allowed("compare-open")
        if run is None or (chosen := self._chosen_whole()) is None:
            return
        from fttui.screens.compare import ComparePage

        self.app.push_screen(ComparePage(run.id, chosen.step))

    def action_copy_path(self) -> None:
        """Copy the path of the checkpoint under the cursor."""
        if chosen := self._chosen():
            self.cockpit.copy(str(chosen.path))


def checkpoint_line(checkpoint: Checkpoint, evaluations: Sequence[Point], now: float, width: int) -> Line:
    """Return one row; one that was not sealed says that it does not count."""
    path = Span(f"   {one_line(str(checkpoint.path))}" if width >= WITH_PATH else "", "dim")
    step = Span(f" {fit_right(str(checkpoint.step), 8)}", "strong")
    if not checkpoint.complete or checkpoint.sealed_at is None:
        return line(step, Span("   not sealed: does not count, nothing resumes from it", "warn"), path)
    sealed = time.strftime("%m-%d %H:%M:%S", time.localtime(checkpoint.sealed_at))
    return line(
        step,
        f"  {fit_right(figures.memory(checkpoint.size_bytes), 6)}   {sealed}",
        Span(f"  {fit_right(figures.age(now - checkpoint.sealed_at), 4)} ago", "dim"),
        f"   {fit(evaluation_at(checkpoint.step, evaluations), 14)}",
        path,
    )


def evaluation_at(step: int, evaluations: Sequence[Point]) -> str:
    """Return the evaluation of a step, or else the last one before it with its own step."""
    index = bisect_right([each for each, _ in evaluations], step)
    if not index:
        return figures.MISSING
    at, value = evaluations[index - 1]
    return figures.loss(value) if at == step else f"{figures.loss(value)} at {at}"


def what_going_back_does(run: RunSummary, chosen: Checkpoint) -> str:
    """Say what will happen when a run goes on from a checkpoint."""
    later = [each.step for each in run.checkpoints if each.step > chosen.step]
    if not later:
        return "It is the newest one: training goes on exactly there."
    many = "checkpoint is" if len(later) == 1 else "checkpoints are"
    return (
        f"Training goes on exactly there. The {len(later)} later {many} moved to the folder "
        f"before-attempt-{run.attempt + 1:03d} and kept; steps after {chosen.step} are done again."
    )
