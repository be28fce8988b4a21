"""Copying to the clipboard of the terminal, over SSH and through tmux, or else to a file."""

import base64
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

MOST_BYTES = 74_000
"""Terminals refuse longer sequences; xterm takes 75 kB as base64 at the most, some take less."""
TMUX_SECONDS = 2.0


def copy(text: str, write: Callable[[str], object]) -> str:
    """Copy a text and return what became of it; ``write`` sends a sequence to the terminal."""
    content = text.encode("utf-8", "replace")
    if len(content) * 4 // 3 > MOST_BYTES:
        return f"{len(content)} bytes are too many for a terminal's clipboard; Y writes them to a file."
    if os.environ.get("TMUX"):
        if _copy_in_tmux(content):
            return "Copied, to tmux's buffer and by it to the terminal's clipboard."
        # An older tmux: it passes sequences on if it is allowed to.
        write(_in_tmux(sequence(content)))
        return "Copied, if tmux lets it pass: set -g allow-passthrough on"
    write(_in_screen(sequence(content)) if os.environ.get("STY") else sequence(content))
    return "Copied, if this terminal allows it (OSC 52); Y writes to a file."


def sequence(content: bytes) -> str:
    """Return what tells a terminal to put a text on its clipboard."""
    return f"\x1b]52;c;{base64.b64encode(content).decode()}\x07"


def save(lines: list[str], name: str, folder: Path, suffix: str = "txt") -> Path:
    """Write lines to a new file, readable by its owner only, and return its path; raises OSError."""
    path = folder / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.{suffix}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.writelines(f"{line}\n" for line in lines)
    return path


def _in_tmux(text: str) -> str:
    return "\x1bPtmux;" + text.replace("\x1b", "\x1b\x1b") + "\x1b\\"


def _in_screen(text: str) -> str:
    return f"\x1bP{text}\x1b\\"


def _copy_in_tmux(content: bytes) -> bool:
    try:
        done = subprocess.run(
            ["tmux", "load-buffer", "-w", "-"],
            input=content,
            capture_output=True,
            timeout=TMUX_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
