"""Creating a run and starting its first attempt.

A module of its own, which imports what is seldom needed only then: ``fttui start`` pays for every import.
"""

import os
from collections.abc import Callable
from pathlib import Path

from fttui_engine.runs.attempt import SCRATCH, Launch, Request
from fttui_engine.runs.home import ensure_home
from fttui_engine.runs.journal import Journal
from fttui_engine.runs.lock import charge_lock
from fttui_engine.runs.run import (
    Plan,
    Run,
    claim_run_folder,
    delete_run_folder,
    hidden_run_folder,
    new_run_folder,
)
from fttui_engine.runs.states import State
from fttui_engine.supervise.output import claim_output
from fttui_engine.supervise.spawn import keeper_is_alive, spawn_keeper


def start_plan(
    plan: Plan, write_spec: Callable[[Path, str], None], home: Path | None = None, *, take_over: bool = False
) -> Run:
    """Create the run directory of a plan, start its first attempt and return the run.

    ``plan.output_dir`` may be empty: then the checkpoints go into the run directory; ``write_spec`` is given the path
    to write to and the output folder that it came to. The whole directory appears at once, by rename, with its lock
    held until a keeper is in charge; nothing is left behind where it cannot start.
    """
    ensure_home(home)
    draft = run = Run(hidden_run_folder(home))
    try:
        new_run_folder(draft.path)
        draft.attempt(1).create(Request(SCRATCH))

        def finish(run: Run) -> None:
            final = plan._replace(output_dir=plan.output_dir or str(run.checkpoints_dir))
            write_spec(draft.spec_path, final.output_dir)
            draft.write_plan(final)
            draft.attempt(1).write_launch(Launch(plan.argv, plan.environment, plan.cwd, None, None))

        Journal(draft).move(State.STARTING, "created", f"Created by process {os.getpid()}.", attempt=1)
        with charge_lock(draft), claim_output(plan.output_dir, take_over=take_over) as set_owner:
            run = claim_run_folder(plan.name, draft.path, finish, home)
            set_owner(run)
            if take_over and plan.output_dir:
                from fttui_engine.runs.checkpoints import retire

                retire(Path(plan.output_dir), run.id)
            spawn_keeper(run, 1)
            return run
    except BaseException:
        from fttui_engine.supervise.evidence import recorded_process

        process = recorded_process(run, run.attempt(1))
        if not keeper_is_alive(run) and not (process and process.is_alive) and run.path.exists():
            delete_run_folder(run)
        raise
