"""Talking to a machine: a program is sent to its Python through ssh, then requests and answers go line by line.

No value of the user's stands on the remote command line: what Python to start, the program and all requests go through
standard input, so that no remote shell ever reads them.
"""

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from fttui_engine.nodes import ssh
from fttui_engine.nodes.inventory import Machine
from fttui_engine.nodes.on_node.agent import MARK
from fttui_engine.nodes.ssh import MachineError

# sh reads the line by itself, byte by byte, and leaves the rest to Python. Single quotes keep any login shell out of it.
BOOTSTRAP = (
    "exec sh -c 'IFS= read -r python; "
    'command -v "$python" >/dev/null 2>&1 || { echo "fttui: $python is not there" >&2; exit 127; }; '
    'exec "$python" -I -c "import sys; exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"\''
)
MODULES = ("nvml", "network", "facts", "files", "agent")
PACKAGE = "fttui_engine.nodes.on_node"
LOADER = """
import sys, types
if sys.version_info < (3, 8):
    sys.exit("fttui: Python " + ".".join(map(str, sys.version_info[:2])) + " is too old")
for name in ("fttui_engine", "fttui_engine.nodes", "fttui_engine.nodes.on_node"):
    sys.modules[name] = types.ModuleType(name)
for name, source in SOURCES:
    module = sys.modules[PACKAGE + "." + name] = types.ModuleType(PACKAGE + "." + name)
    setattr(sys.modules[PACKAGE], name, module)
    exec(compile(source, name + ".py", "exec"), module.__dict__)
sys.modules[PACKAGE + ".agent"].main()
"""
# Connecting may take ssh its 5 s, and a cold disk Python as long again.
START_SECONDS = 12.0
# An open connection answers in a few hundredths of a second, and Python on a busy machine in one or two.
SHARED_SECONDS = 4.0
ANSWER_SECONDS = 15.0
LONGEST_LINE = 16 << 20


class Conversation:
    """An open conversation with one machine; belongs to one thread at a time."""

    def __init__(self, machine: Machine) -> None:
        """Connect and start the program there; raises MachineError."""
        self.machine = machine
        ssh.require_name(machine.name)
        # A shared connection may have died with its network, which ssh notices after 13 s only.
        if ssh.is_shared(machine.name):
            try:
                self._begin(SHARED_SECONDS)
                return
            except MachineError as error:
                if error.kind != "timed out":
                    raise
        self._begin(START_SECONDS)

    def _begin(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        # A file and not a pipe: some versions of ssh leave it open in the shared connection's process.
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the conversation
        self._buffer = b""
        try:
            self._process = subprocess.Popen(
                ssh.command(self.machine.name, BOOTSTRAP),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                # Ctrl+C is for us to answer; the shared connection would go with it.
                start_new_session=True,
            )
        except FileNotFoundError:
            self._stderr.close()
            raise MachineError(
                "broken", self.machine.name, "there is no ssh program on this machine"
            ) from None
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101 - for mypy
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._in.fileno(), False)
        try:
            python = (self.machine.python or "python3").encode(errors="surrogateescape")
            program = _program()
            self._send(python + b"\n%d\n" % len(program) + program, deadline)
            self.python_version = str(self._answer(deadline)["python"])
        except BaseException:
            self.close()
            raise

    def ask(self, task: str, *, seconds: float = ANSWER_SECONDS, **request: Any) -> Any:
        """Return the answer to one request; raises MachineError, behind which the conversation is over."""
        deadline = time.monotonic() + seconds
        self._send(json.dumps({"task": task, **request}).encode() + b"\n", deadline)
        return self._answer(deadline)

    def send_stream(self, task: str, blocks: Iterator[bytes], seconds: float, **request: Any) -> Any:
        """Send a request followed by a stream; ``seconds`` is the longest that one block may take."""
        self._send(json.dumps({"task": task, **request}).encode() + b"\n", time.monotonic() + seconds)
        for block in blocks:
            self._send(block, time.monotonic() + seconds)
        return self._answer(time.monotonic() + seconds)

    def close(self) -> None:
        """End the conversation; the shared connection stays for the next one."""
        for stream in (self._in, self._out):
            with suppress(OSError):
                stream.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, content: bytes, deadline: float) -> None:
        view = memoryview(content)
        while view:
            _, writable, _ = select.select([], [self._in], [], max(0.0, deadline - time.monotonic()))
            if not writable:
                raise self._timed_out()
            try:
                view = view[os.write(self._in.fileno(), view) :]
            except BrokenPipeError:
                raise self._broken() from None

    def _answer(self, deadline: float) -> Any:
        while True:
            line = self._line(deadline)
            # A login shell may greet; only marked lines are ours.
            _, mark, content = line.partition(MARK)
            if not mark:
                continue
            said = json.loads(content)
            if "error" in said:
                raise MachineError("broken", self.machine.name, said["error"])
            return said["answer"]

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > LONGEST_LINE:
                raise MachineError("broken", self.machine.name, "it says more than any answer has")
            readable, _, _ = select.select([self._out], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise self._timed_out()
            piece = os.read(self._out.fileno(), 1 << 16)
            if not piece:
                raise self._broken()
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _timed_out(self) -> MachineError:
        """A connection that may be dead is not kept: everything on it would hang, and a new one tells more."""
        self._process.kill()
        ssh.close_connection(self.machine.name)
        return MachineError("timed out", self.machine.name)

    def _broken(self) -> MachineError:
        try:
            code: int | None = self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            code = None
        self._stderr.seek(0)
        return ssh.what_went_wrong(
            self.machine.name, code, self._stderr.read(1 << 16).decode(errors="replace")
        )


@cache
def packages_program() -> str:
    """The program that the training's Python runs to tell versions."""
    return _source("packages")


@cache
def _program() -> bytes:
    sources = [(name, _source(name)) for name in MODULES]
    return f"PACKAGE = {PACKAGE!r}\nSOURCES = {sources!r}\n{LOADER}".encode()


def _source(name: str) -> str:
    return Path(__file__).with_name("on_node").joinpath(f"{name}.py").read_text(encoding="utf-8")
