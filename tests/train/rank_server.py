"""Starts trainings in one or more ranks from a process that has imported everything already.

Importing takes 4 s of CPU for each rank; a fork of this process takes none of that and is as much a process of its own.
Reads one JSON object per line (the environment, and the number of ranks or the place among several hosts), answers each with the launcher's pid.
"""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from fttui_engine.runs.run import Run
from fttui_engine.train.lean_imports import import_transformers
from fttui_engine.train.ranks.launcher import RankProcesses
from fttui_engine.train.ranks.place import read_place


class Forked:
    """A forked rank, with what the launcher asks of a subprocess."""

    def __init__(self, environment, inherited):
        self.code = None
        self.pid = os.fork()
        if self.pid == 0:
            _close_all_but({0, 1, 2, *inherited})
            _be_worker(environment)

    def poll(self):
        return self._reap(os.WNOHANG)

    def wait(self):
        return self._reap(0)

    def _reap(self, options):
        if self.code is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def send_signal(self, number):
        if self.code is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class ForkedRanks(RankProcesses):
    """The launcher, whose ranks are forks."""

    def _spawn(self, argv, environment, inherited):
        return Forked(environment, inherited)


def _close_all_but(kept):
    """As with a program that is started: it must not hold the launcher's connections open."""
    for descriptor in [int(name) for name in os.listdir("/proc/self/fd")]:
        if descriptor not in kept:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _be_worker(environment):
    code = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        import torch

        from fttui_engine.train.__main__ import main

        # OpenMP has read the environment of the server.
        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
        code = main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _launch(environment, count, place):
    """In a fork: be the launcher of one attempt, and end with it."""
    code = 1
    try:
        os.environ.update(environment)
        attempt = Run(Path(environment["FTTUI_RUN_DIR"])).attempt(int(environment["FTTUI_ATTEMPT"]))
        log = os.open(attempt.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if count == 1 and not place:
            _be_worker(os.environ | {"OMP_NUM_THREADS": "1"})
        ranks = ForkedRanks(attempt, read_place(place)[0] if place else count)
        ranks.pass_signals_on()
        code = ranks.run([])
    finally:
        os._exit(code)


def serve():
    import_transformers(("datasets", "kernels"))
    import bitsandbytes  # noqa: F401

    import fttui_engine.train.__main__
    import fttui_engine.train.stages.supervised  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            pid = request["wait"]
            _, status = os.waitpid(pid, 0)
            answer = {"code": os.waitstatus_to_exitcode(status)}
        else:
            pid = os.fork()
            if pid == 0:
                _launch(request["environment"], request["ranks"], request.get("place"))
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
