"""Whether this host kills what a user leaves behind at logout (logind's KillUserProcesses), seen before it bites.

No session of its own protects against that: systemd ends the whole control group of the login. Read from files, since
asking the bus costs 20 ms and a bus, which ``fttui start`` may not have.
"""

import os
import re
from pathlib import Path

FOLDERS = ("usr/lib/systemd", "usr/local/lib/systemd", "run/systemd", "etc/systemd")
"""Where logind is configured, the last word last."""
_SESSION = re.compile(r"/session-[^/]+\.scope(/|$)")
ADVICE = (
    "loginctl enable-linger, then start fttui, or what starts runs, by: systemd-run --user --scope fttui ..."
)


def logout_danger(root: Path = Path("/")) -> str:
    """Return a warning where a run that is started here would be killed at logout, else ``""``."""
    if not (root / "run/systemd/system").is_dir() or not _is_in_a_session(root):
        return ""
    settings = _logind_settings(root)
    if settings.get("KillUserProcesses", "no").lower() not in ("yes", "true", "1", "on"):
        return ""
    user = _user_name()
    only = settings.get("KillOnlyUsers", "").split()
    if user in settings.get("KillExcludeUsers", "root").split() or (only and user not in only):
        return ""
    return f"this host kills all processes of a login when it ends, and runs with them; {ADVICE}"


def lingers(root: Path = Path("/")) -> bool:
    """Whether systemd starts this user's services at boot, and keeps them after logout."""
    return (root / "var/lib/systemd/linger" / _user_name()).exists()


def _is_in_a_session(root: Path) -> bool:
    try:
        groups = (root / "proc/self/cgroup").read_text()
    except OSError:
        return False
    return any(_SESSION.search(line) for line in groups.splitlines())


def _logind_settings(root: Path) -> dict[str, str]:
    """Return what logind is told; a shipped file shows, commented out, what its makers built in."""
    built_in: dict[str, str] = {}
    settings: dict[str, str] = {}
    named: dict[str, Path] = {}
    for folder in FOLDERS:
        _read(root / folder / "logind.conf", settings, built_in)
        # A file of the same name in a later folder replaces that of an earlier one.
        named |= {path.name: path for path in (root / folder / "logind.conf.d").glob("*.conf")}
    for name in sorted(named):
        _read(named[name], settings, {})
    return {**built_in, **settings}


def _read(path: Path, settings: dict[str, str], built_in: dict[str, str]) -> None:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        key, equals, value = line.strip().lstrip("#").strip().partition("=")
        if equals and key.startswith("Kill"):
            (built_in if line.strip().startswith("#") else settings)[key.strip()] = value.strip()


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
