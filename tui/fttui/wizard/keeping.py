"""What was chosen for a new run, kept on disk: a connection may be lost in the middle of it."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock, Thread

from fttui.wizard.wish import Wish
from fttui_engine.errors import FttuiError
from fttui_engine.runs.files import read_json_or_none, write_json
from fttui_engine.runs.home import ensure_home


class WishKeeper:
    """Writes the newest wish in a thread; what was chosen before it need not be written."""

    def __init__(self, home: Path, tell: Callable[[str], None]) -> None:
        self._path, self._tell = _path(home), tell
        self._lock = Lock()
        self._newest: Wish | None = None
        self._is_writing = False

    def keep(self, wish: Wish) -> None:
        """Keep what was chosen."""
        self._take(wish)

    def forget(self) -> None:
        """Keep nothing: the run was started, or something else is begun."""
        self._take(None)

    def _take(self, newest: Wish | None) -> None:
        with self._lock:
            self._newest = newest
            if self._is_writing:
                return
            self._is_writing = True
        Thread(target=self._write, daemon=True, name="fttui-keep").start()

    def _write(self) -> None:
        while True:
            with self._lock:
                newest = self._newest
            try:
                if newest is None:
                    self._path.unlink(missing_ok=True)
                else:
                    ensure_home(self._path.parent)
                    write_json(self._path, {"wish": newest._asdict()}, durable=False)
            except (OSError, FttuiError) as error:
                # A full disk must not end the screen on which somebody may be choosing what to do about it.
                self._tell(f"What was chosen for the new run cannot be kept: {error}")
            with self._lock:
                if newest == self._newest:
                    self._is_writing = False
                    return


def recall(home: Path) -> Wish | None:
    """What was kept, unless nothing was, or somebody else's release wrote something else."""
    wish = (read_json_or_none(_path(home)) or {}).get("wish")
    if not isinstance(wish, dict):
        return None
    return Wish(
        **{name: text for name, text in wish.items() if name in Wish._fields and isinstance(text, str)}
    )


def _path(home: Path) -> Path:
    return home / "new-run.json"
