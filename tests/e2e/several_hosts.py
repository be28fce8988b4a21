"""Several hosts in one machine: network namespaces, each with its own sshd, host key, address, host name and home.

The test's own process is the head: it reaches the hosts over a bridge, with an ssh client of its own configuration that
stands first in PATH. Three hosts are up in about a quarter of a second.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
SSH = shutil.which("ssh") or "/usr/bin/ssh"
START_SECONDS = 10.0
STOP_SECONDS = 10.0


class Host(NamedTuple):
    """One of the hosts; what is done to it with these methods is undone when the laboratory closes."""

    name: str
    namespace: str
    address: str
    home: Path
    folder: Path
    link: str
    """The head's end of the cable."""

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the host's network, without ssh."""
        words = ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *command]
        return subprocess.run(words, capture_output=True, text=True, check=check, timeout=30)

    def popen(self, *command: str) -> "subprocess.Popen[str]":
        """Start a command in the host's network, without ssh."""
        words = ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *command]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)

    def pids(self) -> list[int]:
        """Every process in the host's network."""
        done = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, text=True)
        return [int(word) for word in done.stdout.split()]

    def unplug(self) -> None:
        """Pull the cable."""
        _ip("link", "set", self.link, "down")

    def plug_in(self) -> None:
        """Put the cable back."""
        _ip("link", "set", self.link, "up")

    def firewall(self, action: str, ports: str, protocol: str = "tcp") -> None:
        """Drop or reject what comes in for these ports, such as ``30000:65535``."""
        rule = ["-A", "INPUT", "-p", protocol, "--dport", ports, "-j", action]
        # What the host itself has begun is let in, as by every firewall.
        rule += ["--syn"] if protocol == "tcp" else []
        # REJECT as most firewalls have it: the answer says that somebody forbade it, which a closed port does not.
        rule += ["--reject-with", "icmp-admin-prohibited"] if action == "REJECT" else []
        self.run("iptables", *rule)

    def open_firewall(self) -> None:
        """Take all rules away."""
        self.run("iptables", "-F")

    def kill_sshd(self) -> None:
        """Kill the daemon and every session of it; what is detached lives on."""
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
                    os.kill(pid, signal.SIGKILL)


class Laboratory:
    """Some hosts on one bridge, and the head's way to them."""

    def __init__(self, names: tuple[str, ...] = ("h1", "h2", "h3")) -> None:
        # Short, since the path of an ssh socket is limited to 108 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="lab", dir="/tmp"))
        self.subnet = _claim_bridge()
        self.bridge = f"fttlab{self.subnet}"
        self.ssh_config = self.folder / "ssh_config"
        self.known_hosts = self.folder / "known_hosts"
        self.private = self.folder / "private"
        """The same path everywhere, with other content on each host: what else there is, they share."""
        self.hosts = [self._host(name, number) for number, name in enumerate(names, 1)]

    def _host(self, name: str, number: int) -> Host:
        folder = self.folder / name
        (folder / "home").mkdir(parents=True)
        (folder / "private").mkdir()
        namespace = f"{self.bridge}{name}"
        address = f"10.77.{self.subnet}.{number}"
        return Host(name, namespace, address, folder / "home", folder, f"fv{self.subnet}{name}")

    def environment(self) -> dict[str, str]:
        """What the head's environment has beside its own: the laboratory's ssh, and folders of the test's own."""
        return {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "HOME": str(self.folder / "head"),
            "XDG_RUNTIME_DIR": str(self.folder / "head"),
            "XDG_CONFIG_HOME": str(self.folder / "head/.config"),
        }

    def set_up(self) -> None:
        """Lay the cables, start an sshd on each host, and wait until all of them answer."""
        self._lay_cables()
        self._equip_head()
        for host in self.hosts:
            self.start_sshd(host)
        for host in self.hosts:
            self.wait_for_sshd(host)

    def _lay_cables(self) -> None:
        lines = [f"link set {self.bridge} up", f"addr add 10.77.{self.subnet}.254/24 dev {self.bridge}"]
        for host in self.hosts:
            lines += [
                f"netns add {host.namespace}",
                f"link add {host.link} type veth peer name eth0 netns {host.namespace}",
                f"link set {host.link} master {self.bridge} up",
            ]
        _ip_batch(lines)
        for host in self.hosts:
            inside = [f"addr add {host.address}/24 dev eth0", "link set eth0 up", "link set lo up"]
            _ip_batch(inside, host.namespace)

    def _equip_head(self) -> None:
        head = self.folder / "head"
        (head / ".ssh").mkdir(parents=True, mode=0o700)
        (self.folder / "bin").mkdir()
        self.private.mkdir()
        _keygen(head / ".ssh/key")
        for program in ("ssh", "ssh-keyscan"):
            wrapper = self.folder / "bin" / program
            real = shutil.which(program, path=os.environ["PATH"]) or program
            option = f'-F "{self.ssh_config}" ' if program == "ssh" else ""
            wrapper.write_text(f'#!/bin/sh\nexec {real} {option}"$@"\n')
            wrapper.chmod(0o755)
        self.write_ssh_config()
        for host in self.hosts:
            _keygen(host.folder / "host_key")
        self.trust(*self.hosts)

    def write_ssh_config(self, extra: str = "") -> None:
        """Write the head's ssh configuration; ``extra`` stands first and so wins."""
        key = self.folder / "head/.ssh/key"
        # The default key exchange costs 180 ms of CPU per connection.
        common = (
            f"Host *\n  IdentityFile {key}\n  IdentitiesOnly yes\n  User root\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  KexAlgorithms curve25519-sha256\n"
        )
        blocks = [
            f"Host {host.name}\n  HostName {host.address}\n  HostKeyAlias {host.name}\n"
            for host in self.hosts
        ]
        self.ssh_config.write_text(extra + "".join(blocks) + common)
        # Where a program reads the configuration itself it looks in the home.
        shutil.copy(self.ssh_config, self.folder / "head/.ssh/config")

    def trust(self, *hosts: Host) -> None:
        """Write down the keys of these hosts, and no other's."""
        keys = [(host.folder / "host_key.pub").read_text().split()[:2] for host in hosts]
        lines = [f"{host.name} {' '.join(key)}\n" for host, key in zip(hosts, keys, strict=True)]
        self.known_hosts.write_text("".join(lines))

    def start_sshd(self, host: Host, settings: str = "") -> None:
        """Start sshd on a host, with a mount namespace of its own for its name, names of others and home.

        ``settings`` stand first in its configuration and so win.
        """
        folder = host.folder
        names = "".join(f"{each.address} {each.name}\n" for each in self.hosts)
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{names}")
        (folder / "nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
        (folder / "resolv.conf").write_text("")
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        (folder / "sshd_config").write_text(
            f"{settings}Port 22\nListenAddress {host.address}\nHostKey {folder}/host_key\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.folder}/head/.ssh/key.pub\nStrictModes no\nPermitRootLogin yes\n"
            f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\nPrintLastLog no\n"
            f"MaxSessions 100\nMaxStartups 100:30:200\nSetEnv HOME={host.home} PATH={path}{_sources()}\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        binds = [
            f"mount --bind {folder}/{name} /etc/{name}"
            for name in ("hosts", "nsswitch.conf", "resolv.conf")
            if Path("/etc", name).exists()
        ]
        binds.append(f"mount --bind {folder}/private {self.private}")
        daemon = f"exec {SSHD} -D -e -f {folder}/sshd_config"
        script = "; ".join(["set -e", *binds, f"hostname {host.name}", daemon])
        # nsenter and not `ip netns exec`, which mounts /sys anew and hides the cgroups from Slurm's daemons.
        words = ["nsenter", f"--net=/run/netns/{host.namespace}", "unshare", "--mount", "--uts", "sh", "-c"]
        # A session of its own: the daemon is nobody's child that would have to be waited for.
        with (folder / "sshd.log").open("ab") as log:
            subprocess.run(
                ["setsid", "-f", *words, script], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True
            )

    def wait_for_sshd(self, host: Host) -> None:
        """Wait until sshd on the host answers."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex((host.address, 22)) == 0:
                    return
            assert time.monotonic() < deadline, (host.folder / "sshd.log").read_text()
            time.sleep(0.01)

    def tear_down(self) -> None:
        """Kill whatever runs on the hosts and leave nothing of them."""
        for path in (self.folder / "head").glob("fttui-ssh/*"):
            words = [SSH, "-F", "none", "-o", f"ControlPath={path}", "-O", "exit", "any"]
            subprocess.run(words, capture_output=True, check=False, timeout=10)
        for host in self.hosts:
            _kill_all(host)
            # Its end here first: a namespace goes away late, and the next set-up would meet a cable of that name.
            _ip("link", "del", host.link, check=False)
            _ip("netns", "del", host.namespace, check=False)
        _ip("link", "del", self.bridge, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def laboratory(*names: str) -> Iterator[Laboratory]:
    """Some hosts for the time of a test."""
    lab = Laboratory(names or ("h1", "h2", "h3"))
    try:
        lab.set_up()
        yield lab
    finally:
        lab.tear_down()


def _sources() -> str:
    """PYTHONPATH where the tests run on the sources, for the Python of the hosts."""
    return f" PYTHONPATH={os.environ['PYTHONPATH']}" if "PYTHONPATH" in os.environ else ""


def _claim_bridge() -> int:
    """Create the bridge of a subnet that nobody has; its alias says whose it is, so that a dead test's is taken over."""
    for subnet in range(1, 250):
        name = f"fttlab{subnet}"
        done = subprocess.run(["ip", "link", "add", name, "type", "bridge"], capture_output=True, text=True)
        if done.returncode == 0:
            _ip("link", "set", name, "alias", f"test {os.getpid()}")
            return subnet
        assert "File exists" in done.stderr, done.stderr
        with contextlib.suppress(OSError, ValueError, IndexError):
            owner = int(Path(f"/sys/class/net/{name}/ifalias").read_text().split()[1])
            if not Path(f"/proc/{owner}").exists():
                _clear_away(subnet)
                return _claim_bridge()
    raise AssertionError("all 250 subnets of laboratories are in use")


def _clear_away(subnet: int) -> None:
    """Take apart what a killed test has left."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout.split()
    for namespace in (word for word in listed if word.startswith(f"fttlab{subnet}")):
        name = namespace.removeprefix(f"fttlab{subnet}")
        if name[:1].isdigit():
            continue
        host = Host(name, namespace, "", Path(), Path(), f"fv{subnet}{name}")
        _kill_all(host)
        _ip("link", "del", host.link, check=False)
        _ip("netns", "del", namespace, check=False)
    _ip("link", "del", f"fttlab{subnet}", check=False)


def _kill_all(host: Host) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while pids := host.pids():
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert time.monotonic() < deadline, f"processes {pids} of {host.name} do not end"
        time.sleep(0.005)


def _keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


def _ip_batch(lines: list[str], namespace: str | None = None) -> None:
    where = [] if namespace is None else ["-n", namespace]
    subprocess.run(
        ["ip", *where, "-batch", "-"],
        input="\n".join(lines) + "\n",
        text=True,
        check=True,
        capture_output=True,
    )
