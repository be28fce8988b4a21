"""A real sshd on a loopback port, and an ordinary user to log in as."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from real_terminal import Terminal

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
START_SECONDS = 20.0


class SshHost(NamedTuple):
    """Where to log in, as whom, with which key."""

    port: int
    user: str
    key: Path
    home: Path
    """A folder of the user's: the fresh user's home, or for a developer's own account a folder of the test's."""
    sshd: subprocess.Popen[bytes]

    def client(self, command: str) -> list[str]:
        """Return the ssh command that runs ``command`` there in an interactive pty session.

        sshd passes no variables on: what the sources and the test's own state folder need stands in the command.
        """
        path = f"PYTHONPATH={os.environ['PYTHONPATH']} " if "PYTHONPATH" in os.environ else ""
        command = f"{path}FTTUI_HOME={self.home}/state exec {command}"
        options = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "BatchMode=yes",
        ]
        flags = [word for option in options for word in ("-o", option)]
        return [
            "ssh",
            "-tt",
            "-p",
            str(self.port),
            "-i",
            str(self.key),
            *flags,
            f"{self.user}@127.0.0.1",
            command,
        ]

    def login(self, command: str) -> Terminal:
        """Log in from a terminal of 80 x 24 and run ``command``."""
        return Terminal(argv=self.client(command))


def start_ssh_host(folder: Path) -> SshHost:
    """Start sshd; as root for a fresh ordinary user, else for whoever runs the tests."""
    user = _add_user() if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    home = Path(pwd.getpwnam(user).pw_dir) if os.getuid() == 0 else folder
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    authorized = home / "authorized_keys"
    authorized.write_text((folder / "user_key.pub").read_text())
    authorized.chmod(0o644)
    port = _free_port()
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {authorized}\nStrictModes no\nPasswordAuthentication no\nPrintMotd no\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    command = [*_reachable(), SSHD, "-D", "-e", "-f", str(config)]
    log = (folder / "sshd.log").open("wb")
    sshd = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    host = SshHost(port, user, folder / "user_key", home, sshd)
    _wait_until_up(host, folder / "sshd.log")
    return host


def stop_ssh_host(host: SshHost) -> None:
    """Stop sshd and take the ordinary user away again, with all that is still running as that user."""
    host.sshd.terminate()
    host.sshd.wait()
    for stash in Path("/run/sshd").glob(f"fttui-{os.getpid()}-*"):
        stash.rmdir()
    if os.getuid() == 0:
        subprocess.run(["pkill", "-9", "-u", host.user], check=False)
        deadline = time.monotonic() + 10
        while subprocess.run(["pgrep", "-u", host.user], capture_output=True).returncode == 0:
            assert time.monotonic() < deadline, f"processes of {host.user} do not end"
            time.sleep(0.05)
        subprocess.run(["userdel", "-r", host.user], check=True, capture_output=True)


def _add_user() -> str:
    user = f"ftt{os.getpid()}"
    subprocess.run(["useradd", "-m", "-s", "/bin/bash", user], check=True)
    # A fresh account is locked, and sshd lets nobody into a locked account, not even with a key.
    subprocess.run(["usermod", "-p", "*", user], check=True)
    return user


def _reachable() -> list[str]:
    """Return a command prefix under which an ordinary user can reach this Python and its packages.

    Where they lie under root's closed home, sshd gets a mount namespace of its own in which that folder is open and
    empty but for them; nothing changes for anybody else.
    """
    if os.getuid() != 0:
        return []
    wanted = {str(Path(prefix).resolve()) for prefix in (sys.base_prefix, sys.prefix, *_sources())}
    closed: dict[str, list[str]] = {}
    for folder in sorted(wanted):
        for parent in reversed(Path(folder).parents):
            if not parent.stat().st_mode & 0o001:
                closed.setdefault(str(parent), []).append(folder)
                break
    if not closed:
        return []
    lines = ["set -e"]
    for number, (parent, folders) in enumerate(closed.items()):
        stash = f"/run/sshd/fttui-{os.getpid()}-{number}"
        lines += [f"mkdir -p '{stash}'", f"mount --bind '{parent}' '{stash}'"]
        lines += [f"mount -t tmpfs -o mode=755 tmpfs '{parent}'"]
        for folder in folders:
            lines += [
                f"mkdir -p '{folder}'",
                f"mount --bind '{stash}{folder.removeprefix(parent)}' '{folder}'",
            ]
    script = "; ".join([*lines, 'exec "$@"'])
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"]


def _sources() -> list[str]:
    """Return the folders that PYTHONPATH adds, where the tests run on the sources."""
    return [folder for folder in os.environ.get("PYTHONPATH", "").split(":") if folder]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(host: SshHost, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", host.port)) == 0:
                return
        assert host.sshd.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
