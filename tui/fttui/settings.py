"""The user's own choices; ``settings_file`` reads them, and a start without a file does without its imports (8 ms)."""

import os
from pathlib import Path
from typing import NamedTuple


class Settings(NamedTuple):
    """What the file says, with the defaults of what it does not."""

    theme: str | None = None
    ascii: bool | None = None
    refresh_seconds: float = 1.0
    mouse: bool = False
    read_only: bool = False
    restore_session: bool = True
    keymap: dict[str, str] = {}  # noqa: RUF012 - never changed
    problems: tuple[str, ...] = ()


def config_path() -> Path:
    """Return where the file is, or would be."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(os.path.abspath(os.path.expanduser(base)), "fttui", "config.yaml")


def user_settings() -> Settings:
    """Return what the user's file says, if there is one."""
    path = config_path()
    if not path.exists():
        return Settings()
    from fttui.settings_file import read_settings

    return read_settings(path)
