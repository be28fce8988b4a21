"""``torchrun ... -m fttui_engine.train.job CONFIG [KEY=VALUE ...]``: a training whose processes another program starts.

For TorchX, SkyPilot, Ray and everyone who has a launcher: no keeper and no supervisor watch over it. Its run folder lies in
its output folder, and when it is started again it goes on from the newest checkpoint there.
"""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fttui_engine.errors import FttuiError, WrongRequestError
from fttui_engine.runs.attempt import NEWEST, Attempt, Launch, Request
from fttui_engine.runs.checkpoints import list_checkpoints
from fttui_engine.runs.files import read_json_or_none, write_json
from fttui_engine.runs.run import Run

if TYPE_CHECKING:
    from fttui_engine.spec.resolved import Resolved

FOLDER = "fttui-run"
# How long the first rank of a host may take to read the configuration, on a slow file system.
_PATIENCE_SECONDS = 120.0


def main() -> int:
    """Be one rank of the training."""
    try:
        if len(sys.argv) < 2 or "RANK" not in os.environ:
            raise WrongRequestError(
                "this is one process of a training that torchrun starts",
                "fttui export-command CONFIG prints the whole command",
            )
        resolved = _resolved(sys.argv[1], sys.argv[2:])
        run = _run_of_this_host(resolved)
        attempt = _begin(run, resolved) if os.environ["LOCAL_RANK"] == "0" else _await_attempt(run)
    except FttuiError as error:
        print(f"fttui: {error.message}; {error.hint}", file=sys.stderr)
        return error.exit_code
    os.environ |= {"FTTUI_RUN": run.id, "FTTUI_RUN_DIR": str(run.path), "FTTUI_ATTEMPT": str(attempt.number)}
    from fttui_engine.train.__main__ import main as work

    return work()


def _resolved(config: str, overrides: list[str]) -> "Resolved":
    from fttui_engine.spec.load import resolve

    # What is in the output folder is this training's own: it goes on there.
    resolved = resolve(Path(config), overrides=[*overrides, "overwrite_output_dir=true"])
    if not resolved.ok:
        raise WrongRequestError(
            "\n".join(error.message for error in resolved.findings.errors), "nothing was started"
        )
    if not resolved.values.get("output_dir"):
        raise WrongRequestError(f"{config} does not say where the result goes", "set output_dir")
    return resolved


def _run_of_this_host(resolved: "Resolved") -> Run:
    node = int(os.environ.get("GROUP_RANK", "0"))
    # Of each host its own, since the output folder may lie on a disk that all of them see.
    name = FOLDER if node == 0 else f"{FOLDER}.node{node}"
    return Run(Path(str(resolved.values["output_dir"])) / name)


def _starter() -> dict[str, object]:
    """Return what is the same in all processes that were started together on a host, and in no others."""
    return {"parent": os.getppid(), "restart": os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")}


def _begin(run: Run, resolved: "Resolved") -> Attempt:
    from fttui_engine.spec.resolved import write_spec

    run.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_spec(resolved, run.spec_path)
    attempt = run.attempt(run.latest_attempt_number() + 1)
    attempt.create(Request(NEWEST))
    sealed = [each for each in list_checkpoints(run.path.parent) if each.complete]
    newest = sealed[-1] if sealed else None
    attempt.write_launch(
        Launch(
            sys.argv, {}, os.getcwd(), str(newest.path) if newest else None, newest.step if newest else None
        )
    )
    write_json(attempt.path / "starter.json", _starter())
    return attempt


def _await_attempt(run: Run) -> Attempt:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        attempt = run.attempt(max(1, run.latest_attempt_number()))
        if read_json_or_none(attempt.path / "starter.json") == _starter():
            return attempt
        time.sleep(0.1)
    raise WrongRequestError(
        f"the first process of this host has not made {run.path} within {_PATIENCE_SECONDS:g} s",
        "its log has the reason",
    )


if __name__ == "__main__":
    sys.exit(main())
