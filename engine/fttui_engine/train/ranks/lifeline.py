"""A connection between the launchers of two hosts: JSON lines, and the news that the other side is gone."""

import errno
import json
import socket
from contextlib import suppress
from typing import Any

_MOST_BYTES = 1 << 20


class Lifeline:
    """One connection; reading never waits, and what was broken in between is told once by ``lost``."""

    def __init__(self, connection: socket.socket, lost_seconds: float) -> None:
        connection.setblocking(False)
        _keep_alive(connection, lost_seconds)
        self._connection = connection
        self._lost_seconds = lost_seconds
        self._rest = b""
        self.lost: str | None = None
        """Why the other side cannot be heard any more, in words that go behind its name."""
        self.said_goodbye = False
        """The other side has nothing more to say."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there is news."""
        return self._connection.fileno()

    def send(self, **message: Any) -> None:
        """Send one message; a side that is gone is noticed when reading."""
        with suppress(OSError):
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def read(self) -> list[dict[str, Any]]:
        """Return the messages that have come; ``lost`` is set where no more can come."""
        while self.lost is None:
            try:
                received = self._connection.recv(65536)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self.lost = self._reason(error)
                break
            if not received:
                self.lost = "ended the connection without a word"
            self._rest += received
            if len(self._rest) > _MOST_BYTES:
                self.lost = "sent what is none of ours"
        *lines, self._rest = self._rest.split(b"\n")
        messages = [message for line in lines if (message := _message(line)) is not None]
        self.said_goodbye = self.said_goodbye or any("goodbye" in message for message in messages)
        return messages

    def _reason(self, error: OSError) -> str:
        if error.errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN):
            return f"has not answered for {self._lost_seconds:g} s"
        if error.errno == errno.ECONNRESET:
            return "broke the connection: its launcher was killed or its host restarted"
        return f"broke the connection ({error.strerror})"

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def _keep_alive(connection: socket.socket, lost_seconds: float) -> None:
    """Have the kernel ask for an answer: it is never too busy to do so, as a process on a loaded host may be."""
    every = max(1, int(lost_seconds / 5))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, every)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, every)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    # For what was sent and is not confirmed; it also overrules the number of probes.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * (lost_seconds - 0.5)))


def _message(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
