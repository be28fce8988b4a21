"""What a forked child of the keeper does on its way to being the attempt; standard library only, as the keeper is."""

import os
import signal
from pathlib import Path
from typing import NoReturn

from fttui_engine.runs.attempt import Attempt, Launch
from fttui_engine.runs.run import Run

EXEC_FAILED = 127
GATE_CLOSED = 125
OOM_SCORE_RAISE = 500
"""Raising needs no privilege; it makes the out-of-memory killer take the trainer before us (conmon, containerd)."""


def become_attempt(run: Run, attempt: Attempt, launch: Launch, gate_read: int, held: list[int]) -> NoReturn:
    """Turn the forked child into the attempt once the gate opens; a keeper that died before closes it for ever.

    ``held`` are the locks that are to be free when the attempt has ended, and not before.
    """
    status = EXEC_FAILED
    try:
        os.setsid()
        log = os.open(attempt.log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _raise_oom_score()
        if os.read(gate_read, 1) != b"g":
            os._exit(GATE_CLOSED)
        close_all_but(held)
        for descriptor in held:
            os.set_inheritable(descriptor, True)
        default_signals()
        environment = {**os.environ, **launch.environment}
        environment.pop("FTTUI_ROLE", None)
        environment |= {
            "FTTUI_RUN": run.id,
            "FTTUI_RUN_DIR": str(run.path),
            "FTTUI_ATTEMPT": str(attempt.number),
        }
        os.chdir(launch.cwd)
        os.execvpe(launch.argv[0], launch.argv, environment)
    except OSError as error:
        # The last of the folders on PATH that were tried says nothing; a missing working folder does.
        where = f" in {launch.cwd}" if error.filename == launch.cwd else ""
        os.write(2, f"fttui: cannot run {launch.argv[0]!r}{where}: {error.strerror}\n".encode())
    except ValueError as error:
        # A NUL byte, which a YAML file can hold and no program can be given.
        os.write(2, f"fttui: cannot run {launch.argv[0]!r}: {error}\n".encode())
    finally:
        os._exit(status)


def close_all_but(kept: list[int]) -> None:
    """Close every file but standard input and output and these."""
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, 4096)


def _raise_oom_score() -> None:
    try:
        score = int(Path("/proc/self/oom_score_adj").read_text())
        Path("/proc/self/oom_score_adj").write_text(str(min(1000, score + OOM_SCORE_RAISE)))
    except (OSError, ValueError):
        pass  # a hardened /proc: the run works without


def default_signals() -> None:
    """Undo what this process ignores: an ignored signal stays ignored through exec."""
    signal.set_wakeup_fd(-1)
    for number in (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGPIPE,
        signal.SIGXFSZ,
        signal.SIGCHLD,
    ):
        signal.signal(number, signal.SIG_DFL)
