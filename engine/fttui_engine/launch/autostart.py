"""Looking after runs when the host has booted: by a systemd user unit where there is one, else by cron."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from fttui_engine.errors import FttuiError
from fttui_engine.launch.logout import lingers
from fttui_engine.runs.home import state_home

UNIT = "fttui-resume.service"
MARK = "# fttui install-autostart"
TAKEN = (
    *("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR", "CUDA_HOME", "FTTUI_LOCKS", "XDG_CACHE_HOME"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)
"""What runs need of today's environment and a boot does not give them; no tokens, the file is no place for secrets."""
STOP_SECONDS = 110
"""Runs that were resumed at boot are asked to save when the host goes down; systemd grants a user 120 s in all."""
COMMAND_SECONDS = 20.0


class Autostart(NamedTuple):
    """What was done, and what is still missing for it to work."""

    did: list[str]
    missing: list[str]


def install() -> Autostart:
    """Have this user's runs looked after at boot; raises FttuiError where neither systemd nor cron can."""
    if _has_user_systemd():
        path = unit_path()
        _write(path, unit_text())
        _systemctl("daemon-reload")
        _systemctl("enable", UNIT)
        missing = (
            []
            if lingers()
            else ["systemd starts it at your first login only; at boot after: loginctl enable-linger"]
        )
        return Autostart([f"wrote {path}", f"enabled {UNIT}"], missing)
    lines = _crontab()
    if lines is None:
        raise FttuiError(
            "neither systemd's user services nor cron can be used here",
            "after a reboot, run: fttui reconcile --resume",
        )
    _set_crontab([*(line for line in lines if MARK not in line), cron_line()])
    return Autostart(["added a line to your crontab (crontab -l shows it)"], [])


def remove() -> Autostart:
    """Take away what ``install`` did, whichever way it went."""
    did, path = [], unit_path()
    if path.exists():
        if _has_user_systemd():
            # Not --now: runs that it resumed belong to it, and go on.
            _systemctl("disable", UNIT)
        path.unlink()
        (path.parent / "default.target.wants" / UNIT).unlink(missing_ok=True)
        did.append(f"removed {path}")
    lines = _crontab() or []
    if any(MARK in line for line in lines):
        _set_crontab([line for line in lines if MARK not in line])
        did.append("removed the line from your crontab")
    return Autostart(did, [] if did else ["there was nothing to remove"])


def is_installed() -> bool:
    """Whether runs are looked after at boot."""
    return unit_path().exists() or any(MARK in line for line in _crontab() or [])


def unit_path() -> Path:
    """Return where the unit of this user belongs."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "systemd" / "user" / UNIT


def unit_text() -> str:
    """Return the unit: it ends at once, and stays in charge of the processes of the runs that it resumed."""
    environment = "".join(
        f"Environment={_unit_word(f'{name}={value}')}\n" for name, value in _environment().items()
    )
    words = " ".join(_unit_word(word).replace("$", "$$") for word in _command())
    return f"""# Written by fttui install-autostart; fttui install-autostart --remove takes it away.
[Unit]
Description=fttui: the queue, and runs that a reboot interrupted, go on

[Service]
Type=oneshot
# Without this, systemd would kill the runs as soon as the command has ended.
RemainAfterExit=yes
TimeoutStopSec={STOP_SECONDS}
{environment}ExecStart={words}

[Install]
WantedBy=default.target
"""


def cron_line() -> str:
    """Return the line for the crontab, in which a percent sign is the end of a line unless it is escaped."""
    words = [f"{name}={shlex.quote(value)}" for name, value in _environment().items()]
    words += [shlex.quote(word) for word in _command()]
    return " ".join(["@reboot", *words, ">/dev/null 2>&1"]).replace("%", "\\%") + f" {MARK}"


def _command() -> list[str]:
    return [sys.executable, "-P", "-m", "fttui", "reconcile", "--resume"]


def _environment() -> dict[str, str]:
    taken = {name: os.environ[name] for name in TAKEN if os.environ.get(name)}
    plain = {name: value for name, value in taken.items() if "\n" not in value}
    return {"FTTUI_HOME": str(state_home()), **plain}


def _unit_word(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _has_user_systemd() -> bool:
    done = _run(["systemctl", "--user", "show-environment"])
    return done is not None and done.returncode == 0


def _systemctl(*words: str) -> None:
    done = _run(["systemctl", "--user", *words])
    if done is None or done.returncode != 0:
        said = done.stderr.strip() if done else "it did not answer"
        raise FttuiError(
            f"systemctl --user {' '.join(words)} failed: {said}", "systemctl --user status may say more"
        )


def _crontab() -> list[str] | None:
    """Return the lines of this user's crontab, ``None`` where there is no cron."""
    done = _run(["crontab", "-l"])
    if done is None:
        return None
    if done.returncode == 0:
        return done.stdout.splitlines()
    # Any other trouble must not lead to a crontab that is replaced unread.
    return [] if "no crontab" in done.stderr else None


def _set_crontab(lines: list[str]) -> None:
    done = _run(["crontab", "-"], "".join(f"{line}\n" for line in lines))
    if done is None or done.returncode != 0:
        said = done.stderr.strip() if done else "it did not answer"
        raise FttuiError(f"crontab refused: {said}", "after a reboot, run: fttui reconcile --resume")


def _run(command: list[str], given: str = "") -> "subprocess.CompletedProcess[str] | None":
    try:
        return subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(text)
        temporary.replace(path)
    except OSError as error:
        raise FttuiError(f"{path} cannot be written: {error.strerror}", "make its folder writable") from error
