"""The process with both models of a run: begun and ended by threads, so that no key waits for it."""

from collections.abc import Callable
from threading import Lock, Thread

from fttui_engine.errors import FttuiError
from fttui_engine.launch.side_by_side import Heard, SideBySide


class BothModels:
    """At most one process at a time; ``hear`` is called in threads, with the number of the process that speaks."""

    def __init__(self, run_id: str, step: int | None, hear: Callable[[Heard, int], object]) -> None:
        self._run_id, self._step, self._hear = run_id, step, hear
        # A process that comes up after the next one was wanted must neither take its place nor be left behind.
        self._lock = Lock()
        self._number = 0
        self._process: SideBySide | None = None

    @property
    def process(self) -> SideBySide | None:
        """The process that can be asked, ``None`` where there is none yet, or any more."""
        return self._process

    def is_present(self, number: int) -> bool:
        """Whether it is this process whose words still count."""
        return number == self._number

    def begin(self, *, cpu: bool) -> None:
        """Begin to load the models, in place of those that are there."""
        self.end()
        number = self._number
        Thread(target=lambda: self._load(number, cpu=cpu), daemon=True, name="fttui-compare").start()

    def end(self) -> None:
        """Let the models go."""
        with self._lock:
            self._number += 1
            process, self._process = self._process, None
        if process:
            # A thread that quitting waits for: it takes milliseconds, and nothing may be left behind.
            Thread(target=process.close, name="fttui-compare-end").start()

    def _load(self, number: int, *, cpu: bool) -> None:
        from fttui_engine.launch.inference import find_target

        def hear(heard: Heard) -> None:
            self._hear(heard, number)

        try:
            target = find_target(self._run_id, step=self._step)
            base = str(target.values.get("model_name_or_path"))
            hear(Heard("found", {"label": target.label, "base": base}))
            process = SideBySide(target, hear, cpu=cpu)
        except FttuiError as error:
            hear(Heard("trouble", {"message": error.message, "advice": error.hint, "is_final": True}))
            return
        with self._lock:
            is_wanted = self.is_present(number)
            if is_wanted:
                self._process = process
        if not is_wanted:
            process.close()
