"""A process that lets base and trained model answer the same questions, for as long as somebody looks."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO, Any, NamedTuple

from fttui_engine.errors import WrongRequestError
from fttui_engine.launch.inference import Target, process_for

END_SECONDS = 0.5
"""How long a process is waited for that has nothing to clean up; quitting waits for it too."""
PIECES_SECONDS = 0.1
"""How long pieces of an answer are gathered: a fast model writes hundreds a second, and each costs a repaint."""
LAST_LINES = 50


class Heard(NamedTuple):
    """What the process said: an event and its values; the last event is ``gone``."""

    event: str
    values: dict[str, Any]


class SideBySide:
    """The screen's end of the conversation; ``hear`` is called in a thread.

    The process ends when its standard input does, and so with this program, however that ends.
    """

    def __init__(self, target: Target, hear: Callable[[Heard], object], *, cpu: bool = False) -> None:
        if not target.adapters and target.weights is None:
            raise WrongRequestError(
                f"{target.label} is one model, and nothing to compare it with",
                "choose what a run has trained",
            )
        argv, environment = process_for("side_by_side", target, {}, cpu=cpu, gpu=None)
        self._hear = hear
        self._said: list[str] = []
        self._pieces: dict[tuple[int, str], str] = {}
        self._told_at = 0.0
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(argv, env=environment, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise WrongRequestError(
                f"{argv[0]} cannot be run: {error.strerror}", "correct run.python"
            ) from error
        for work in (self._listen, self._listen_to_errors):
            threading.Thread(target=work, name="side-by-side", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process that holds the models."""
        return self._process.pid

    def ask(self, number: int, text: str) -> None:
        """Ask both models; what they say is told with this number."""
        self._send({"ask": number, "text": text})

    def read(self, path: str) -> None:
        """Let the questions of a file be read; they are told, not asked."""
        self._send({"file": path})

    def stop(self) -> None:
        """Let the answer that is being written end here."""
        self._send({"stop": True})

    def close(self) -> None:
        """End the process; waits for that, so never call it from a user interface's own thread."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            # It has not come to listen yet: it is still importing.
            self._process.kill()
            self._process.wait()

    def _send(self, wish: dict[str, Any]) -> None:
        stdin = self._process.stdin
        try:
            if stdin and not stdin.closed:
                stdin.write(json.dumps(wish).encode() + b"\n")
                stdin.flush()
        except BrokenPipeError:
            # It has ended; the listening thread tells of that, with the reason.
            return

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            values = json.loads(line)
            event = values.pop("event")
            if event == "piece":
                key = values["ask"], values["model"]
                self._pieces[key] = self._pieces.get(key, "") + values["text"]
                if time.monotonic() - self._told_at < PIECES_SECONDS:
                    continue
            self._tell_pieces()
            if event != "piece":
                self._hear(Heard(event, values))
        self._tell_pieces()
        code = self._process.wait()
        self._hear(Heard("gone", {"code": code, "message": self._why_it_ended(code)}))

    def _why_it_ended(self, code: int) -> str:
        """What ended it, where that was a signal, else what it said last, an error of ours with its advice."""
        if code == -signal.SIGKILL:
            return "it was killed, which the kernel does when memory runs out."
        if code < 0:
            return f"signal {-code} ended it."
        said = [text for text in self._said if text.strip()]
        with_advice = said[-2:] if said[-1:] and said[-1].startswith("  ") else said[-1:]
        return " ".join(text.strip().removeprefix("fttui: ") for text in with_advice)

    def _tell_pieces(self) -> None:
        self._told_at = time.monotonic()
        pieces, self._pieces = self._pieces, {}
        for (number, model), text in pieces.items():
            self._hear(Heard("piece", {"ask": number, "model": model, "text": text}))

    def _listen_to_errors(self) -> None:
        stream: IO[bytes] | None = self._process.stderr
        for line in stream or ():
            self._said.append(line.decode(errors="replace").rstrip())
            del self._said[:-LAST_LINES]
