"""From the queue to the start: what a waiting run's supervisor does at each step."""

import time
from typing import TYPE_CHECKING

from fttui_engine.runs.journal import ExitVerdict
from fttui_engine.runs.queueing import QueueRequest, read_queue_request
from fttui_engine.runs.states import State
from fttui_engine.supervise.gpu_environment import with_gpus
from fttui_engine.supervise.turn import Granted, Refused, Turn, Waits

if TYPE_CHECKING:
    from fttui_engine.runs.attempt import Attempt
    from fttui_engine.runs.journal import Journal
    from fttui_engine.runs.run import Plan, Run
    from fttui_engine.supervise.claim import Claim


class Queued:
    """A run in state ``queued``."""

    def __init__(self, run: "Run", journal: "Journal", claim: "Claim") -> None:
        self._run, self._journal, self._claim = run, journal, claim
        self._turn: Turn | None = None

    def step(self, plan: "Plan", attempt: "Attempt") -> "Plan | None":
        """Look whether it is the run's turn; return the plan with its GPUs when it is."""
        if self._turn is None:
            request = read_queue_request(self._run.queue_path)
            self._turn = Turn(self._run, request or QueueRequest(time.time(), len(plan.leases)))
        found = self._turn.look()
        if isinstance(found, Granted):
            return self._start(plan, attempt, found)
        if isinstance(found, Waits):
            self._journal.describe(found.detail)
        elif isinstance(found, Refused):
            self._park(found.reason)
        return None

    def leave(self) -> None:
        """Leave the line, also for those behind to see at once."""
        if self._turn is not None:
            self._turn.close()
            self._turn = None

    def _start(self, plan: "Plan", attempt: "Attempt", granted: Granted) -> "Plan":
        """Record what it got; a supervisor that is killed over it loses the leases, and the next one queues again."""
        self._claim.add(granted.leases, granted.descriptors)
        plan = with_gpus(plan, granted.gpus)._replace(leases=granted.leases)
        self._run.write_plan(plan)
        attempt.withdraw_launch()
        where = "without GPU" if granted.gpus is None else f"on GPU {', '.join(map(str, granted.gpus))}"
        self._journal.move(State.STARTING, "left_queue", f"Its turn: it starts {where}.")
        self.leave()
        return plan

    def _park(self, reason: str) -> None:
        advice = f"fttui resume {self._run.id} queues it again, without waiting for other runs"
        verdict = ExitVerdict("dependency", None, None, reason, advice)
        self._journal.move(State.PARKED, "parked", reason, exit=verdict, ended_at=time.time())
        self.leave()
