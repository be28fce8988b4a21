"""The machines that the user's ssh configuration names, and what ssh makes of a name."""

import glob
import os
import shlex
import subprocess
from pathlib import Path

from fttui_engine.nodes.inventory import is_machine_name

MOST_FILES = 100
ASK_SECONDS = 5.0


def aliases(path: Path | None = None) -> list[str]:
    """Return every ``Host`` of the configuration that is one machine (no pattern), in the file's order."""
    found: dict[str, None] = {}
    seen: set[Path] = set()
    _read(path or Path(os.path.expanduser("~/.ssh/config")), found, seen)
    return list(found)


def effective_settings(name: str) -> dict[str, str]:
    """Return what ssh would do for this name (``ssh -G``), by lower-case key; nothing where ssh refuses it."""
    try:
        done = subprocess.run(
            ["ssh", "-G", "--", name],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ASK_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    settings: dict[str, str] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        settings.setdefault(key, value)
    return settings


def _read(path: Path, found: dict[str, None], seen: set[Path]) -> None:
    if path in seen or len(seen) >= MOST_FILES:
        return
    seen.add(path)
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            words = shlex.split(line.replace("=", " ", 1), comments=True)
        except ValueError:
            continue
        if len(words) < 2:
            continue
        if words[0].lower() == "host":
            found.update(dict.fromkeys(word for word in words[1:] if is_machine_name(word)))
        elif words[0].lower() == "include":
            for pattern in words[1:]:
                # ssh looks for a relative name in ~/.ssh.
                whole = os.path.join(os.path.expanduser("~/.ssh"), os.path.expanduser(pattern))
                for each in sorted(glob.glob(whole)):
                    _read(Path(each), found, seen)
