"""Real runs for tests: started, looked at from outside, killed piece by piece, and cleared away."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fttui_engine.errors import FttuiError
from fttui_engine.runs.events import Event, read_events
from fttui_engine.runs.files import read_json_or_none
from fttui_engine.runs.identity import ProcessIdentity, identity_from_json
from fttui_engine.runs.journal import RunState, read_state
from fttui_engine.runs.run import Plan, Run, all_runs
from fttui_engine.runs.states import State
from fttui_engine.supervise import control
from fttui_engine.supervise.creation import start_plan

WAIT_SECONDS = 15.0


def until(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Return what ``condition`` comes to as soon as that is something."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.01)
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] not in b"ZX"
    except OSError:
        return False


def marked_processes(folder: Path) -> list[int]:
    """Return the living processes that belong to runs below a folder."""
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if (
                name.isdecimal()
                and b"FTTUI_RUN_DIR=" + os.fsencode(folder) in Path(f"/proc/{name}/environ").read_bytes()
            ):
                found.append(int(name))
    return [pid for pid in found if is_running(pid)]


class Driver:
    """Starts runs under one state folder and looks at them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.strays: list[int] = []
        """Processes that a test let get away from its run on purpose; killed at the end whatever happens."""

    def start(self, script: str, *, grace_seconds: float = 20.0, **plan: Any) -> Run:
        """Start a shell script as a run."""
        return self.start_argv(["sh", "-c", script], grace_seconds=grace_seconds, **plan)

    def start_argv(
        self, argv: list[str], *, name: str = "r", grace_seconds: float = 20.0, **plan: Any
    ) -> Run:
        """Start a program as a run."""
        fields = {
            "kind": "command",
            "environment": {},
            "cwd": str(self.home.parent),
            "output_dir": "",
            "gpus": None,
        }
        made = Plan(name=name, argv=argv, grace_seconds=grace_seconds, **{**fields, **plan})
        return start_plan(made, lambda path, _: path.write_text("{}\n") and None)

    def running(self, script: str = "sleep 600", **plan: Any) -> Run:
        """Start a shell script as a run and return once it runs with everybody in charge."""
        run = self.start(script, **plan)
        self.reach(run, State.RUNNING)
        return run

    def cli(
        self, *arguments: object, check: int | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run an fttui command; ``check`` is the exit code that it has to have."""
        command = [sys.executable, "-m", "fttui", *map(str, arguments)]
        options = {"timeout": 60, **options}
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        assert check is None or done.returncode == check, done
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def show(self, run: Run | str) -> dict[str, Any]:
        """Return what ``fttui show --json`` says."""
        name = run if isinstance(run, str) else run.id
        value: dict[str, Any] = json.loads(self.cli("show", name, "--json", check=0).stdout)
        return value

    def reach(self, run: Run, *states: State, seconds: float = WAIT_SECONDS) -> RunState:
        """Wait for one of the states, without any help from a viewer."""
        until(lambda: read_state(run).state in states, f"{run.id} to be {states}, {read_state(run)}", seconds)
        return read_state(run)

    def end(self, run: Run, seconds: float = WAIT_SECONDS) -> RunState:
        """Wait for the end, and for the keeper to be gone."""
        until(lambda: not read_state(run).state.is_live, f"the end of {run.id}", seconds)
        until(lambda: not marked_processes(run.path), f"the processes of {run.id} to go", seconds)
        return read_state(run)

    @staticmethod
    def events(run: Run) -> list[Event]:
        """Return what happened."""
        return read_events(run.events_path)

    def happened(self, run: Run, event: str) -> Event | None:
        """Return the latest event of a name."""
        return next((each for each in reversed(self.events(run)) if each.event == event), None)

    @staticmethod
    def log(run: Run, attempt: int = 1) -> str:
        """Return what an attempt has written."""
        path = run.attempt(attempt).log_path
        return path.read_text(errors="replace") if path.exists() else ""

    def says(self, run: Run, text: str) -> str:
        """Wait until the log holds a text, and return the log."""
        until(lambda: text in self.log(run), f"{text!r} in the log")
        return self.log(run)

    @staticmethod
    def _identity(path: Path, field: str) -> ProcessIdentity | None:
        return identity_from_json((read_json_or_none(path) or {}).get(field))

    def pid(self, run: Run, role: str) -> int:
        """Return the pid of the ``keeper``, the ``supervisor`` or the attempt's ``process``, waiting for a living one."""
        path = run.lease_path if role == "supervisor" else run.keeper_path

        def living() -> int:
            identity = self._identity(path, role)
            return identity.pid if identity and identity.is_alive else 0

        return int(until(living, f"a living {role} of {run.id}"))

    def supervisor_of(self, keeper: int) -> int:
        """Return the pid of the one supervisor under a keeper, waiting until it is the run's supervisor in charge."""
        children = Path(f"/proc/{keeper}/task/{keeper}/children")

        def in_charge() -> int:
            pids = children.read_text().split()
            leases = [self._identity(run.lease_path, "supervisor") for run in all_runs(self.home)]
            return (
                int(pids[0])
                if len(pids) == 1 and pids[0] in [str(each.pid) for each in leases if each]
                else 0
            )

        return int(until(in_charge, f"a supervisor under keeper {keeper}"))

    def kill(self, run: Run, *roles: str) -> list[int]:
        """Kill -9 at once; the first is stopped before the others die, so that nobody can react in between."""
        pids = [self.pid(run, role) for role in roles]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not any(map(is_running, pids)), "the killed to be dead")
        return pids

    def clear_away(self) -> None:
        """End what a test left running."""
        for pid in self.strays:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for run in all_runs(self.home):
            if read_state(run).state.is_live:
                with suppress(FttuiError):
                    control.stop(run, now=True)
        with suppress(AssertionError):
            until(lambda: not marked_processes(self.home), "all runs to end", 5.0)
