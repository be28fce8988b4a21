"""The system's OpenSSH with one shared connection per machine, and what its complaints mean.

No library: the user's configuration, jump hosts, agents, hardware keys and certificates work as they do by hand. A
command on an open connection takes 14 ms instead of 340; on a connection that is dead it would hang for 19 s, so every
call has a deadline of its own, behind which the shared connection is closed.
"""

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Final, Literal

from fttui_engine.errors import FttuiError
from fttui_engine.nodes.inventory import is_machine_name
from fttui_engine.runs.home import PRIVATE_FOLDER

Kind = Literal[
    "unknown name",
    "unreachable",
    "refused",
    "unknown host key",
    "changed host key",
    "permission denied",
    "needs login",
    "timed out",
    "no python",
    "ssh configuration",
    "broken",
]

CONNECT_SECONDS = 5
CLOSE_SECONDS = 2.0
# 108 bytes for the path of a socket, less ssh's 40 characters for the connection and 18 for its own temporary name.
LONGEST_FOLDER = 48

COMPLAINTS: Final[tuple[tuple[str, Kind], ...]] = (
    (r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key .*differs|REVOKED HOST KEY", "changed host key"),
    (r"No .* host key is known for|Host key verification failed", "unknown host key"),
    (r"Could not resolve hostname", "unknown name"),
    (r"Connection refused", "refused"),
    (r"timed out|No route to host|Network is unreachable|Host is down", "unreachable"),
    (r"Permission denied \([^)]*(password|keyboard-interactive)", "needs login"),
    (r"Permission denied|Too many authentication failures|no mutual signature", "permission denied"),
    (
        r"Bad configuration option|Bad owner or permissions|terminating, \d+ bad|keyword .* extra arg",
        "ssh configuration",
    ),
)

SENTENCES: Final[dict[Kind, tuple[str, str]]] = {
    "unknown name": ("{name}: nobody knows this name", "give it a Host block with HostName in ~/.ssh/config"),
    "unreachable": (
        "{name} does not answer: it is off, or no network leads there",
        "look whether it runs, and whether a VPN is needed; ssh {name} must work by hand",
    ),
    "refused": (
        "{name} is there, but no ssh server listens on it",
        "start sshd there, or correct Port in ~/.ssh/config",
    ),
    "unknown host key": (
        "{name} is not trusted yet: nobody has looked at its host key",
        "fttui nodes trust {name}   shows the fingerprint and asks",
    ),
    "changed host key": (
        "{name} shows another host key than before: it was installed anew, or somebody stands in between",
        "ask its administrator; only if that is right: ssh-keygen -R with its name, then fttui nodes trust {name}",
    ),
    "permission denied": (
        "{name} does not let you in with your keys",
        "ssh-copy-id {name}, or correct User and IdentityFile in ~/.ssh/config; ssh-add for a key with a passphrase",
    ),
    "needs login": (
        "{name} wants a password or a second factor, or does not know your key",
        "fttui nodes login {name}   asks for it once; or ssh-copy-id {name}",
    ),
    "timed out": (
        "{name} did not answer in time",
        "look whether it is overloaded or its disk hangs; ssh {name} by hand shows how far it gets",
    ),
    "no python": (
        "{name} has no usable Python: {said}",
        "correct python: in the inventory, or install python3 (3.8 or newer) there",
    ),
    "ssh configuration": ("ssh does not understand its configuration: {said}", "correct ~/.ssh/config"),
    "broken": ("the connection to {name} broke: {said}", "ssh {name} by hand may say more"),
}


class MachineError(FttuiError):
    """A machine cannot be talked to; ``kind`` says why in one word."""

    def __init__(self, kind: Kind, name: str, said: str = "") -> None:
        message, hint = SENTENCES[kind]
        super().__init__(message.format(name=name, said=said), hint.format(name=name))
        self.kind = kind
        self.machine = name


def control_folder() -> Path:
    """Return the private folder of the shared connections' sockets, made where it is not there."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(runtime, "fttui-ssh")
    if not runtime or len(os.fsencode(folder)) > LONGEST_FOLDER or not os.access(runtime, os.W_OK):
        # Not gettempdir(), whose folder may be as long.
        folder = Path(f"/tmp/fttui-ssh-{os.getuid()}")  # noqa: S108 - private, and looked at below
    try:
        folder.mkdir(mode=PRIVATE_FOLDER)
    except FileExistsError:
        pass
    except OSError as error:
        raise FttuiError(
            f"{folder}: {error.strerror}", "set XDG_RUNTIME_DIR to a folder of your own"
        ) from error
    # Whoever could write there could pose as the machines.
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise FttuiError(
            f"{folder} is not a private folder of yours; ssh connections are not kept there",
            "remove it, or set XDG_RUNTIME_DIR to a folder of your own",
        )
    return folder


def options() -> list[str]:
    """Return what every call of ssh gets, whatever the user's configuration says."""
    settings = {
        "BatchMode": "yes",
        "ConnectTimeout": CONNECT_SECONDS,
        "ServerAliveInterval": 5,
        "ServerAliveCountMax": 2,
        "StrictHostKeyChecking": "yes",
        "ControlMaster": "auto",
        "ControlPersist": 600,
        "ControlPath": f"{control_folder()}/%C",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "RemoteCommand": "none",
        "RequestTTY": "no",
        "LogLevel": "ERROR",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def command(name: str, remote: str) -> list[str]:
    """Return the command that runs ``remote``, a fixed text of ours, on a machine."""
    require_name(name)
    return ["ssh", *options(), "-T", "--", name, remote]


def require_name(name: str) -> None:
    """Refuse what ssh could take for anything but a name."""
    if not is_machine_name(name):
        raise MachineError("unknown name", repr(name[:80]))


def is_shared(name: str) -> bool:
    """Whether a connection to the machine is open on this side; 5 ms."""
    try:
        done = subprocess.run(
            ["ssh", *options(), "-O", "check", "--", name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CLOSE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def close_connection(name: str) -> None:
    """End the shared connection to a machine, dead or alive; without one nothing happens."""
    try:
        subprocess.run(
            ["ssh", *options(), "-O", "exit", "--", name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CLOSE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return


def what_went_wrong(name: str, exit_code: int | None, stderr: str) -> MachineError:
    """Say in a sentence what ssh's exit code and last words mean."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = lines[-1] if lines else "without a word"
    if said.startswith("fttui: "):
        return MachineError("no python", name, said.removeprefix("fttui: "))
    if exit_code == 2 and "Unknown option: -I" in stderr:
        return MachineError("no python", name, "it is Python 2")
    # The remote program's own words could hold any of them.
    if exit_code == 255:
        for pattern, kind in COMPLAINTS:
            if re.search(pattern, stderr):
                return MachineError(kind, name, said)
    return MachineError("broken", name, said)
