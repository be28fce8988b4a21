"""Host keys and logins that need a person: nothing here is done unasked, and no check is ever weakened."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from fttui_engine.errors import FttuiError
from fttui_engine.nodes import ssh
from fttui_engine.nodes.ssh_config import effective_settings

GREET_SECONDS = 15.0


class HostKey(NamedTuple):
    """What a machine showed: the lines for ``known_hosts``, and what a person compares."""

    lines: str
    fingerprint: str
    kind: str


def offered_key(name: str) -> HostKey | None:
    """Return the key of a machine that nobody has looked at, ``None`` where it is trusted; raises MachineError.

    ssh itself fetches it, so that jump hosts, ports and ``HostKeyAlias`` count; it offers no way to log in, and so no
    secret reaches a machine that is not trusted.
    """
    ssh.require_name(name)
    code, said = _greet(name, [])
    trouble = ssh.what_went_wrong(name, code, said)
    if code == 0 or trouble.kind in ("permission denied", "needs login"):
        return None
    if trouble.kind != "unknown host key":
        raise trouble
    with tempfile.TemporaryDirectory() as folder:
        shown = Path(folder, "shown")
        fetch = {
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": shown,
            "GlobalKnownHostsFile": "/dev/null",
            "KnownHostsCommand": "none",
            "HashKnownHosts": "no",
            "CheckHostIP": "no",
        }
        code, said = _greet(name, [word for key, value in fetch.items() for word in ("-o", f"{key}={value}")])
        if not shown.exists():
            raise ssh.what_went_wrong(name, code, said)
        told = subprocess.run(["ssh-keygen", "-lf", shown], capture_output=True, text=True, check=False)
        # 256 SHA256:... h1 (ED25519)
        words = told.stdout.split()
        if len(words) < 4:
            raise FttuiError(f"the host key of {name} cannot be read: {told.stderr.strip()}")
        return HostKey(shown.read_text(), words[1], words[-1].strip("()"))


def trust(name: str, key: HostKey) -> Path:
    """Write the key down where ssh looks for it, and return that file."""
    files = effective_settings(name).get("userknownhostsfile", "~/.ssh/known_hosts").split()
    path = Path(os.path.expanduser(files[0]))
    if path == Path("/dev/null"):
        raise FttuiError(
            f"UserKnownHostsFile for {name} is /dev/null, so no key can be kept",
            "take that line out of ~/.ssh/config: without it every machine can pose as this one",
        )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    torn = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
    with path.open("a") as file:
        file.write(("\n" if torn else "") + key.lines)
    path.chmod(0o600)
    return path


def login(name: str) -> int:
    """Let ssh ask for what it wants on this terminal, and leave the connection open for what follows."""
    ssh.require_name(name)
    words = [word.replace("BatchMode=yes", "BatchMode=no") for word in ssh.options()]
    done = subprocess.run(["ssh", *words, "-T", "--", name, "exit 0"], check=False)
    return done.returncode


def _greet(name: str, extra: list[str]) -> tuple[int | None, str]:
    """Connect without any way to log in; the shared connection would skip the look at the key."""
    blunt = ["-o", "ControlPath=none", "-o", "PreferredAuthentications=none", "-o", "PubkeyAuthentication=no"]
    # The first value of an option counts.
    words = ["ssh", *extra, *blunt, *ssh.options(), "-T", "--", name, "exit 0"]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=GREET_SECONDS,
        )
    except FileNotFoundError:
        raise ssh.MachineError("broken", name, "there is no ssh program on this machine") from None
    except subprocess.TimeoutExpired:
        raise ssh.MachineError("timed out", name) from None
    return done.returncode, done.stderr
