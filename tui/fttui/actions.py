"""What a person can do to a run: when it makes no sense and why, and doing it without holding up the screen."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread

from fttui.collector import Collector
from fttui.messages import ActionEnded
from fttui.snapshot import NOWHERE
from fttui_engine.errors import FttuiError
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.run import Run, find_run
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import RunSummary

NEED_NO_RUN = frozenset({"new", "edit-file", "help", "quit", "back"})
LAST_WORD_SECONDS = 2.0
"""How long leaving the program waits for what was asked for last."""


@dataclass(frozen=True, slots=True)
class Done:
    """What an action did, in a sentence, and the id of the run that it started."""

    text: str
    run_id: str | None = None


def why_not(key: str, run: RunSummary | None) -> str:
    """Return why an action is not possible for a run now, empty where it is."""
    if key in NEED_NO_RUN:
        return ""
    if run is None:
        return "No run is selected. n starts one."
    if run.run_dir == NOWHERE:
        return "It is just being started."
    if key == "compare-open":
        return _why_not_ask(run)
    if key in ("stop", "kill"):
        return _why_not_stop(key, run)
    if key in ("resume", "checkpoint-resume") and run.state.is_live:
        return f"{run.id} is {run.state}. A run can be resumed after it has ended."
    if key == "delete" and run.state.is_live:
        return f"{run.id} is {run.state}. Stop it first (s), then delete it."
    return ""


def _why_not_ask(run: RunSummary) -> str:
    if run.kind != "train":
        return f"{run.id} is a program of its own: there is no model to ask."
    if not any(each.complete for each in run.checkpoints) and run.state is not State.FINISHED:
        return f"{run.id} has not saved anything yet; after its first checkpoint it can be asked."
    return ""


def _why_not_stop(key: str, run: RunSummary) -> str:
    if not run.state.is_live:
        return f"{run.id} is not running ({run.state}); there is nothing to {key}."
    if key == "stop" and run.state is State.STOPPING:
        return f"{run.id} is already stopping. K kills it without waiting for its checkpoint."
    return ""


class Actions:
    """Runs the verbs of ``fttui_engine.launch``, each in a thread of its own, and reports how each ended."""

    def __init__(self, collector: Collector, post: Callable[[ActionEnded], object], home: Path) -> None:
        self._collector, self._post, self._home = collector, post, home
        self._threads: list[Thread] = []
        self._lock = Lock()

    def stop(self, run_id: str, *, now: bool) -> None:
        """Ask a run to save and stop, or kill it."""
        from fttui_engine.launch import verbs

        self.do(run_id, lambda run: Done(f"{run.id}: {verbs.stop(run, now=now).message}"))

    def resume(self, run_id: str, from_step: int | None = None) -> None:
        """Go on from the newest whole checkpoint, or from that of a step."""
        from fttui_engine.launch import verbs

        def resume(run: Run) -> Done:
            verbs.resume(run, from_step)
            return Done(f"{run.id} goes on.")

        self.do(run_id, resume)

    def delete(self, run_id: str) -> None:
        """Delete an ended run."""
        from fttui_engine.launch import verbs

        def delete(run: Run) -> Done:
            verbs.remove(run)
            return Done(f"{run.id} is deleted.")

        self.do(run_id, delete)

    def delete_checkpoint(self, run_id: str, step: int) -> None:
        """Delete one checkpoint."""
        from fttui_engine.launch import verbs

        def delete(run: Run) -> Done:
            verbs.remove_checkpoint(run, step)
            return Done(f"The checkpoint of step {step} is deleted.")

        self.do(run_id, delete)

    def start(self, key: str, begin: Callable[[], Run]) -> None:
        """Start a run."""

        def start() -> Done:
            run = begin()
            return Done(f"{run.id} is started.", run_id=run.id)

        self._in_thread(key, start)

    def tell(self, work: Callable[[], str]) -> None:
        """Do something small that has nothing to do with a run, and say what came of it."""
        self._in_thread("", lambda: Done(work()))

    def do(self, run_id: str, act: Callable[[Run], Done]) -> None:
        """Do something to a run that is named by its id."""
        self._in_thread(run_id, lambda: act(find_run(run_id, self._home)))

    def wait(self) -> None:
        """Let what is under way finish, for a moment."""
        for thread in self._threads:
            thread.join(LAST_WORD_SECONDS)

    def _in_thread(self, key: str, work: Callable[[], Done]) -> None:
        thread = Thread(target=self._work, args=(key, work), daemon=True, name=f"fttui-action-{key}")
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _work(self, key: str, work: Callable[[], Done]) -> None:
        self._count(+1)
        try:
            done = work()
            self._post(ActionEnded(key, one_line(done.text), run_id=done.run_id))
        except FttuiError as error:
            hint = f" ({one_line(error.hint)})" if error.hint else ""
            self._post(ActionEnded(key, one_line(error.message) + hint, failed=True))
        except OSError as error:
            self._post(ActionEnded(key, one_line(f"The system refused: {error}"), failed=True))
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._collector.busy_actions += change
        self._collector.wake()
