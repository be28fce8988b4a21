"""A real pseudo-terminal with a program in it: a screen to read, keys to press, a plug to pull."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyte

COCKPIT = (sys.executable, "-m", "fttui")
WAIT_SECONDS = 20.0


class Terminal:
    """A pty with a program in it, as its controlling terminal unless told otherwise; the cockpit by default."""

    def __init__(
        self,
        home: Path | None = None,
        argv: Sequence[str] = COCKPIT,
        *,
        size: tuple[int, int] = (80, 24),
        ignore_hangup: bool = False,
        controlling: bool = True,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        self.received = b""
        self._is_closed = False
        """Whether nobody is left who could write: then a read returns at once, and waiting in a loop would spin."""

        def prepare() -> None:
            if ignore_hangup:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            if controlling:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        named = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "", **(environment or {})}
        if home:
            named["FTTUI_HOME"] = str(home)
            named.setdefault("XDG_CONFIG_HOME", str(home.parent / "config"))
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**inherited, **named},
            start_new_session=True,
            preexec_fn=prepare,
        )
        os.close(slave)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.vanish()

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def read(self, seconds: float) -> bytes:
        """Take in what the program sends for so long or until it is gone, and return it."""
        start, deadline = len(self.received), time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.master], [], [], left)[0]:
                break
            try:
                data = os.read(self.master, 65536)
            except OSError:
                self._is_closed = True
                break
            self.received += data
            with contextlib.suppress(Exception):  # pyte does not know every private mode that Textual sets
                self._stream.feed(data)
        return self.received[start:]

    def sees(self, *texts: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait until all texts are on the screen."""
        self.until(lambda: all(text in self.text for text in texts), f"{texts}", seconds)

    def until(self, condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait until something is so; a program that has ended will not make it so any more."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}; the screen shows:\n{self.text}"
            if self._is_closed:
                code = self.process.wait(timeout=WAIT_SECONDS)
                raise AssertionError(f"the program ended ({code}) before {what}; it said:\n{self.text}")
            self.read(0.05)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size, as a window manager or tmux does."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    def vanish(self) -> None:
        """Close the other end, as sshd does when the connection is gone."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def ends_within(self, seconds: float) -> int:
        """Return the exit code of a program that is about to end; what it still writes is read, or it could not."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.master < 0 or self._is_closed:
                break
            self.read(0.02)
        return self.process.wait(timeout=max(0.0, deadline - time.monotonic()))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
