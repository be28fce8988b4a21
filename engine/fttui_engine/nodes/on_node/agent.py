"""The node's side of a conversation: one JSON request per line in, one answer per line out, until either end leaves.

Nothing outlives it: whatever it opened is closed when standard input ends, or when nobody has asked for a while.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from fttui_engine.nodes.on_node import files, network
from fttui_engine.nodes.on_node.facts import facts

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = b"\x1efttui "
# A head whose network is gone never closes the connection; sshd alone would keep this process for hours.
LONELY_SECONDS = 120
RUN_SECONDS = 60


def _receive(request: dict[str, Any]) -> dict[str, Any]:
    signal.alarm(0)
    return files.receive(sys.stdin.buffer, request["scratch"], request["name"])


def _run(request: dict[str, Any]) -> dict[str, Any]:
    """Run a program, not through a shell; as a training is run, so with its own search path."""
    words = [request["python"] or sys.executable, *request["words"]]
    done = subprocess.run(
        words,
        input=request["input"].encode(),
        capture_output=True,
        timeout=RUN_SECONDS,
        check=False,
        cwd=os.path.expanduser("~"),
    )
    out, said = (each.decode(errors="replace") for each in (done.stdout, done.stderr))
    return {"code": done.returncode, "out": out, "said": said}


TASKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "clock": lambda request: time.time(),
    "facts": lambda request: facts(request["python"], request["packages_program"], request["scratch"]),
    "listen": lambda request: network.listen(request["ports"], request["name"]),
    "hush": lambda request: network.hush(),
    "route": lambda request: [
        {**network.route(address), "lookup_seconds": network.lookup_seconds(address)}
        for address in request["addresses"]
    ],
    "connect": lambda request: network.connect(request["peers"]),
    "measure": lambda request: network.measure(request["peer"], request["port"], request["burst_seconds"]),
    "describe": lambda request: files.describe(request["path"]),
    "find_model": lambda request: files.find_model(request["name"]),
    "held": lambda request: files.held(request["scratch"], request["name"], request["single"]),
    "copied": lambda request: files.copied(request["scratch"], request["name"], request["single"]),
    "run": _run,
    "receive": _receive,
    "finish": lambda request: files.finish(
        request["scratch"], request["name"], request["single"], request["digest"]
    ),
}


def main() -> None:
    """Answer until standard input ends."""
    # What anything prints goes to standard error: standard output carries answers only.
    answers = os.dup(1)
    os.dup2(2, 1)
    _write(answers, {"answer": {"python": ".".join(map(str, sys.version_info[:3]))}})
    while True:
        signal.alarm(LONELY_SECONDS)
        line = sys.stdin.buffer.readline()
        if not line:
            # Threads that still wait for a peer or a driver are left behind.
            os._exit(0)
        try:
            request = json.loads(line)
            said = {"answer": TASKS[request["task"]](request)}
        except Exception as error:  # noqa: BLE001 - the head is told, whatever it is
            said = {"error": type(error).__name__ + ": " + str(error)}
        _write(answers, said)


def _write(descriptor: int, value: dict[str, Any]) -> None:
    content = MARK + json.dumps(value).encode() + b"\n"
    while content:
        content = content[os.write(descriptor, content) :]
