"""What becomes of runs when the user logs out, and whether the clock is set."""

import os
import pwd
import subprocess

from fttui_engine.doctor.finding import Finding

ASK_SECONDS = 5.0


def look_at_session() -> list[Finding]:
    """Whether systemd-logind kills what a user leaves behind; tmux or screen would not help against that."""
    kills = _property(["loginctl", "show-session", "--property=KillUserProcesses"])
    if kills is None:
        return [Finding("logout", "ok", "no systemd-logind here; runs stay when you log out")]
    if kills != "yes":
        return [
            Finding(
                "logout", "ok", "runs stay when you log out (KillUserProcesses is off); tmux is not needed"
            )
        ]
    account = _account()
    if _property(["loginctl", "show-user", account, "--property=Linger"]) == "yes":
        text = "this machine kills processes at logout (KillUserProcesses=yes); you may linger, which spares user services"
        fix = "start fttui inside: systemd-run --user --scope fttui"
        return [Finding("logout", "warning", text, fix)]
    text = "this machine kills your processes at logout (KillUserProcesses=yes), runs included"
    fix = f"loginctl enable-linger {account}, then start fttui inside: systemd-run --user --scope fttui"
    return [Finding("logout", "warning", text, fix)]


def look_at_clock() -> list[Finding]:
    """Whether the clock is kept; certificates, ages and several machines depend on it."""
    if _property(["timedatectl", "show", "--property=NTPSynchronized"]) == "no":
        text = "the clock is not set by NTP: downloads may fail by their certificates, times may mislead"
        return [Finding("clock", "note", text, "sudo timedatectl set-ntp true")]
    return []


def _property(argv: list[str]) -> str | None:
    """The value of one property that a tool of systemd prints; None where it cannot be had."""
    try:
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    _, _, value = answer.stdout.strip().partition("=")
    return value if answer.returncode == 0 and value else None


def _account() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
