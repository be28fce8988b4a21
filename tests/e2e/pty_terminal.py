"""A terminal as a person has it: a real pty with a program in it, a screen to read and keys to press."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence

import pyte


class PtyTerminal:
    """Runs a program on a pty of its own, as its controlling terminal."""

    def __init__(
        self, argv: Sequence[str], environment: dict[str, str], columns: int = 80, lines: int = 24
    ) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def press(self, keys: str) -> None:
        """Type keys."""
        os.write(self.master, keys.encode())

    def text(self) -> str:
        """Return what the screen shows now."""
        self._read(0.0)
        return "\n".join(line.rstrip() for line in self._screen.display)

    def wait_for(self, wanted: str, seconds: float = 20.0) -> float:
        """Wait until the screen shows ``wanted``; return how long that took."""
        began = time.monotonic()
        while wanted not in self.text():
            left = began + seconds - time.monotonic()
            assert left > 0, f"{wanted!r} did not appear within {seconds} s:\n{self.text()}"
            self._read(min(left, 0.1))
        return time.monotonic() - began

    def wait_for_cursor_below(self, label: str, seconds: float = 5.0) -> None:
        """Wait until the cursor stands in the line below ``label``: the field there has the focus."""
        deadline = time.monotonic() + seconds
        while label not in self.text().split("\n")[max(0, self._screen.cursor.y - 1)]:
            assert time.monotonic() < deadline, (
                f"the cursor is in line {self._screen.cursor.y}:\n{self.text()}"
            )
            self._read(0.05)

    def _read(self, seconds: float) -> None:
        while self.master >= 0 and select.select([self.master], [], [], seconds)[0]:
            try:
                content = os.read(self.master, 65536)
            except OSError:
                return
            if not content:
                return
            self._stream.feed(content)
            seconds = 0.0

    def close(self) -> None:
        """Pull the plug of the terminal and end the program that was on it."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
