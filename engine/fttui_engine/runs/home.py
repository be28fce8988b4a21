"""Where fttui keeps its state: one private folder per user."""

import os
import stat
from pathlib import Path

from fttui_engine.errors import WrongRequestError

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


def state_home() -> Path:
    """Return the state folder: ``FTTUI_HOME``, else the XDG state folder; it need not exist."""
    if chosen := os.environ.get("FTTUI_HOME"):
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(os.path.abspath(os.path.expanduser(base)), "fttui")


def runs_folder(home: Path | None = None) -> Path:
    """Return the folder that holds one folder per run; it need not exist."""
    return (home or state_home()) / "runs"


def ensure_home(home: Path | None = None) -> Path:
    """Create the private state folder with its runs folder and return the runs folder."""
    home = home or state_home()
    runs = runs_folder(home)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        _private_folder(home)
        _private_folder(runs)
    except OSError as error:
        raise WrongRequestError(
            f"the state folder {home} cannot be used: {error.strerror}",
            "set FTTUI_HOME to a folder that you can write to",
        ) from error
    if not os.access(runs, os.W_OK | os.X_OK):
        raise WrongRequestError(
            f"the state folder {runs} is not writable", "set FTTUI_HOME to a folder that you can write to"
        )
    return runs


def _private_folder(path: Path) -> None:
    """Make ``path`` a folder that only its owner can enter.

    A folder that was there before is tightened only if it is ours and not shared on purpose: FTTUI_HOME=/tmp must
    not lock everybody out of /tmp.
    """
    try:
        path.mkdir(mode=PRIVATE_FOLDER)
        return
    except FileExistsError:
        pass
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(20, "it is not a folder", str(path))
    # Root in a container often works in a folder of somebody else; anybody else's could be read, and its runs replaced.
    if os.getuid() not in (0, status.st_uid) and not status.st_mode & stat.S_ISVTX:
        raise PermissionError(1, "it belongs to another user", str(path))
    shared = status.st_mode & (stat.S_ISVTX | stat.S_IWOTH)
    if status.st_uid == os.getuid() and status.st_mode & 0o077 and not shared:
        path.chmod(PRIVATE_FOLDER)
