"""Where the screens were left, so that the next start begins there."""

import json
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple, get_args

from fttui.keys import Scope
from fttui_engine.runs.files import write_json

FILE_NAME = "screens.json"


class Session(NamedTuple):
    """A screen, the selected run, the runs marked for comparison, and which runs are listed."""

    screen: Scope = "dashboard"
    run: str | None = None
    marked: tuple[str, ...] = ()
    run_filter: str = ""


def read_session(home: Path) -> tuple[Session, str]:
    """Return the last session and, where its file is damaged, a sentence that says so."""
    path = home / FILE_NAME
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return Session(), ""
    except (OSError, ValueError) as error:
        return Session(), f"Where the screens were left cannot be read ({path}: {error}); they begin anew."
    fields: dict[str, Any] = value if isinstance(value, dict) else {}
    screen = next((each for each in get_args(Scope) if each == fields.get("screen")), None)
    run, marked, run_filter = fields.get("run"), fields.get("marked"), fields.get("run_filter", "")
    is_sound = isinstance(run, str | None) and isinstance(run_filter, str)
    if screen is None or not is_sound or not isinstance(marked, list):
        return Session(), f"Where the screens were left is not understood ({path}); they begin anew."
    return Session(screen, run, tuple(each for each in marked if isinstance(each, str)), run_filter), ""


class SessionKeeper:
    """Writes the session soon after it changed and not at the end: a terminal may vanish at any time."""

    def __init__(self, home: Path, session: Session, on_trouble: Callable[[str], object]) -> None:
        self._home, self._session, self._on_trouble = home, session, on_trouble
        self._writing: Thread | None = None
        self._has_failed = False

    def keep(self, session: Session) -> None:
        """Write a session that is new, on a thread: the home folder may be on a network drive that hangs."""
        if session == self._session or self._has_failed or (self._writing and self._writing.is_alive()):
            return
        self._session = session
        self._writing = Thread(target=self._write, args=(session,), daemon=True, name="fttui-session")
        self._writing.start()

    def _write(self, session: Session) -> None:
        try:
            if self._home.is_dir():
                write_json(self._home / FILE_NAME, session._asdict(), durable=False)
        except OSError as error:
            self._has_failed = True
            self._on_trouble(f"The next start will not begin here: {self._home}: {error.strerror or error}")
