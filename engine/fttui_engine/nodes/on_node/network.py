"""Interfaces of this machine, ports that others should reach, and what becomes of a try to reach others."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

GET_ADDRESS, GET_FLAGS, GET_MTU = 0x8915, 0x8913, 0x8921
UP, LOOPBACK = 0x1, 0x8
BLOCK = bytes(1 << 18)
# Longer than a training's own start would wait for an answer within a local network, by far.
ANSWER_SECONDS = 3.0
MOST_BENCHMARK_SECONDS = 10.0
SENDING_BYTES = 1 << 19
ROUND_TRIPS = 5


def interfaces() -> list[dict[str, Any]]:
    """Return every interface with its addresses; asked of the kernel, since /sys may show another namespace's."""
    sixes = _ipv6_addresses()
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            flags = _ioctl(asked, GET_FLAGS, request)
            mtu = _ioctl(asked, GET_MTU, request)
            address = _ioctl(asked, GET_ADDRESS, request)
            bits = struct.unpack("H", flags[16:18])[0] if flags else 0
            found.append(
                {
                    "name": name,
                    "is_up": bool(bits & UP),
                    "is_loopback": bool(bits & LOOPBACK),
                    "mtu": struct.unpack("i", mtu[16:20])[0] if mtu else None,
                    "addresses": ([socket.inet_ntoa(address[20:24])] if address else [])
                    + sixes.get(name, []),
                }
            )
    return found


def route(peer: str) -> dict[str, Any]:
    """Return from which address and interface this machine would speak to ``peer``; no packet is sent."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((peer, 9))
            source = asked.getsockname()[0]
    except OSError as error:
        return {"source": None, "interface": None, "trouble": os.strerror(error.errno or 0)}
    names = [each["name"] for each in interfaces() if source in each["addresses"]]
    return {"source": source, "interface": names[0] if names else None, "trouble": ""}


_servers: list[socket.socket] = []


def hush() -> None:
    """Listen no longer: the ports are the training's from here on."""
    while _servers:
        server = _servers.pop()
        # close() alone leaves the port taken as long as a thread waits in accept().
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()


def listen(wanted: list[int], name: str) -> dict[str, Any]:
    """Listen on these ports (0: any free one) until `hush`; says who has those that are taken."""
    ports, taken = [], []
    for port in wanted:
        try:
            server = _server(port)
        except OSError as error:
            who = _owner(port) if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
            taken.append({"port": port, "owner": who})
            continue
        ports.append(server.getsockname()[1])
        _servers.append(server)
        threading.Thread(target=_serve, args=(server, name), daemon=True).start()
    return {"ports": ports, "taken": taken}


def connect(peers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Try every port of every peer at once and return what became of each try."""
    tries = [(peer, port) for peer in peers for port in peer["ports"]]
    results: list[dict[str, Any]] = [{} for _ in tries]

    def attempt(number: int) -> None:
        peer, port = tries[number]
        outcome, seconds = _reach(peer, port)
        results[number] = {"peer": peer["name"], "port": port, "outcome": outcome, "seconds": seconds}

    threads = [threading.Thread(target=attempt, args=(number,), daemon=True) for number in range(len(tries))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ANSWER_SECONDS * 2)
    return [
        result or {"peer": peer["name"], "port": port, "outcome": "silent", "seconds": None}
        for result, (peer, port) in zip(results, tries)  # noqa: B905 - Python 3.8 has no strict
    ]


def measure(peer: dict[str, Any], port: int, seconds: float) -> dict[str, Any]:
    """Send to a listening peer for a while; returns what it received, in bytes per second."""
    until = min(seconds, MOST_BENCHMARK_SECONDS)
    try:
        with socket.create_connection((peer["addr"], port), ANSWER_SECONDS) as link:
            link.settimeout(until + 10 * ANSWER_SECONDS)
            # Otherwise megabytes are under way when the time is up, and a slow link takes minutes to deliver them.
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENDING_BYTES)
            link.sendall(b"!")
            began = time.perf_counter()
            while time.perf_counter() - began < until:
                link.sendall(BLOCK)
            link.shutdown(socket.SHUT_WR)
            received, elapsed = link.makefile("rb").readline().split()
    except (OSError, ValueError) as error:
        return {"bytes_per_second": None, "trouble": str(error)}
    return {"bytes_per_second": int(received) / max(float(elapsed), 1e-6), "trouble": ""}


def lookup_seconds(address: str) -> float:
    """Return how long the name of an address takes to be looked up; torch does so at every new connection."""
    began = time.monotonic()
    with suppress(OSError):
        socket.gethostbyaddr(address)
    return time.monotonic() - began


def _ioctl(asked: socket.socket, what: int, request: bytes) -> bytes | None:
    try:
        return fcntl.ioctl(asked.fileno(), what, request)
    except OSError:
        return None


def _ipv6_addresses() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits, _, _, _, _, name = line.split()
            found.setdefault(name, []).append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)))
    return found


def _server(port: int) -> socket.socket:
    """All addresses, as torch's store and gloo listen."""
    try:
        server = socket.socket(socket.AF_INET6)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    except OSError:
        server = socket.socket(socket.AF_INET)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("", port))
        server.listen(128)
    except OSError:
        server.close()
        raise
    return server


def _serve(server: socket.socket, name: str) -> None:
    while True:
        try:
            link, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(link, name), daemon=True).start()


def _answer(link: socket.socket, name: str) -> None:
    """Say the own name to "h", give "?" back, and count what comes behind "!"."""
    with link, suppress(OSError):
        while True:
            word = link.recv(1)
            if word == b"h":
                link.sendall(name.encode() + b"\n")
            elif word == b"?":
                link.sendall(b"?")
            elif word == b"!":
                began, received = time.perf_counter(), 0
                while True:
                    size = len(link.recv(1 << 18))
                    if not size:
                        break
                    received += size
                link.sendall(b"%d %f\n" % (received, time.perf_counter() - began))
                return
            else:
                return


def _reach(peer: dict[str, Any], port: int) -> tuple[str, float | None]:
    """Return what became of a connection, and how long a word there and back takes."""
    try:
        with socket.create_connection((peer["addr"], port), ANSWER_SECONDS) as link:
            link.sendall(b"h")
            said = link.makefile("rb").readline(256).decode(errors="replace").strip()
            if said != peer["name"]:
                return "stranger", None
            trips = []
            for _ in range(ROUND_TRIPS):
                began = time.perf_counter()
                link.sendall(b"?")
                if link.recv(1) != b"?":
                    return "broken", None
                trips.append(time.perf_counter() - began)
    except ConnectionRefusedError:
        return "refused", None
    except OSError as error:
        # Two classes before Python 3.10. The kernel itself gives up after minutes only.
        if isinstance(error, (socket.timeout, TimeoutError)):
            return "silent", None
        barred = (errno.EHOSTUNREACH, errno.EACCES, errno.EPERM, errno.ENETUNREACH)
        return ("rejected" if error.errno in barred else "broken"), None
    return "reached", min(trips)


def _owner(port: int) -> str:
    """Who listens on a port, as far as this user may see."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                    inodes.add("socket:[" + words[9] + "]")
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(os.readlink(each) in inodes for each in (folder / "fd").iterdir()):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                return f"{command.strip()[:80]} (process {folder.name})"
    return "a program of another user"
