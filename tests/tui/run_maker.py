"""Makes run directories as keeper and worker would, through the library that owns them."""

import math
import time
from pathlib import Path

from fttui_engine.runs.attempt import SCRATCH, Progress, Request
from fttui_engine.runs.checkpoints import seal
from fttui_engine.runs.files import SCHEMA, write_json
from fttui_engine.runs.identity import identify_self, identity_to_json
from fttui_engine.runs.journal import ExitVerdict, Journal
from fttui_engine.runs.metrics import MetricsWriter
from fttui_engine.runs.run import Plan, Run, claim_run_folder, hidden_run_folder, new_run_folder
from fttui_engine.runs.states import State

SIZES = ((80, 24), (120, 40), (200, 50))

OUT_OF_MEMORY = ExitVerdict(
    "oom_cuda",
    1,
    None,
    "The GPU ran out of memory in step 89.",
    "Halve per_device_train_batch_size and double gradient_accumulation_steps.",
)


class RunMaker:
    """Makes run directories through the library that owns them; this process stands for their keeper."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(
        self,
        name: str,
        state: State = State.RUNNING,
        *,
        step: int = 0,
        max_steps: int = 100,
        kind: str = "train",
        verdict: ExitVerdict | None = None,
        stop_deadline: float | None = None,
        log: str = "",
    ) -> Run:
        draft = new_run_folder(hidden_run_folder(self.home))
        draft.attempt(1).create(Request(SCRATCH))

        def finish(run: Run) -> None:
            plan = Plan(name, kind, ["true"], {}, "/", str(run.checkpoints_dir), None, 60.0)
            draft.write_plan(plan)

        Journal(draft).move(State.STARTING, "created", "Created by a test.", attempt=1)
        run = claim_run_folder(name, draft.path, finish, self.home)
        if state.is_live:
            self._own(run)
        add_steps(run, 1, step, max_steps)
        run.attempt(1).log_path.write_text(log)
        self._bring_to(run, state, verdict, stop_deadline)
        return run

    def _own(self, run: Run) -> None:
        owner = identity_to_json(identify_self())
        write_json(run.keeper_path, {"schema": SCHEMA, "keeper": owner, "attempt": 1, "process": None})

    def _bring_to(
        self, run: Run, state: State, verdict: ExitVerdict | None, stop_deadline: float | None
    ) -> None:
        journal, now = Journal(run), time.time()
        if state is State.STARTING:
            return
        journal.move(State.RUNNING, "started", "Attempt 1 runs.", started_at=now - 600)
        if state is State.STOPPING:
            journal.move(state, "stop_requested", "Stop asked for.", stop_deadline=stop_deadline)
        elif not state.is_live:
            journal.move(state, str(state), f"It is {state}.", exit=verdict, ended_at=now - 60)


def add_steps(run: Run, first: int, last: int, max_steps: int) -> None:
    """Log steps as rank 0 does: metrics, progress, a sealed checkpoint every 20 steps."""
    writer = MetricsWriter(run.metrics_path)
    for step in range(first, last + 1):
        loss = loss_at(step)
        writer.append({"step": step, "loss": loss, "learning_rate": 1.8e-4, "grad_norm": 0.83})
        if step % 20 == 0:
            folder = run.checkpoints_dir / f"checkpoint-{step}"
            folder.mkdir(parents=True)
            (folder / "model.bin").write_bytes(b"x" * 1000)
            seal(folder, step, 1, {})
    if last >= first:
        rates = {"tokens_per_second": 18_400.0, "step_seconds": 0.4, "eta_seconds": (max_steps - last) * 0.4}
        progress = Progress("train", last, max_steps, None, loss_at(last), time=time.time(), **rates)
        run.attempt(1).write_progress(progress)


def loss_at(step: int) -> float:
    """Return a loss that falls from 2.5 towards 1.2."""
    return 1.2 + 1.3 * math.exp(-step / 30)
