"""What a person can ask of runs that are there: the verbs behind the command line and the keys."""

import time

from fttui_engine.errors import FttuiError, WrongRequestError
from fttui_engine.runs.attempt import NEWEST, SCRATCH, Request
from fttui_engine.runs.checkpoints import delete, list_checkpoints
from fttui_engine.runs.commands import (
    KILL,
    STOP,
    Answer,
    Command,
    drop_command,
    read_answer,
    refuse_commands,
    withdraw_command,
)
from fttui_engine.runs.files import read_json_or_none
from fttui_engine.runs.identity import (
    Liveness,
    identity_from_json,
    this_host,
)
from fttui_engine.runs.journal import ExitVerdict, Journal, read_state
from fttui_engine.runs.lock import charge_lock
from fttui_engine.runs.queueing import QueueRequest, read_queue_request, write_queue_request
from fttui_engine.runs.run import (
    Plan,
    Run,
    delete_run_folder,
)
from fttui_engine.runs.states import State
from fttui_engine.supervise.adoption import adopt, in_charge
from fttui_engine.supervise.gpu_environment import with_gpus
from fttui_engine.supervise.output import reclaim_output, release_output
from fttui_engine.supervise.spawn import keeper_is_alive, spawn_keeper

ANSWER_SECONDS = 5.0
GOING_SECONDS = 5.0
"""How long the keeper of a run that has just ended may still be on its way out."""


def stop(run: Run, *, now: bool = False) -> Answer:
    """Ask a live run to save and end, or with ``now`` to end at once; raises WrongRequestError if that cannot be."""
    state = read_state(run).state
    if not state.is_live:
        raise WrongRequestError(f"{run.id} is not running: it is {state}", "nothing was changed")
    if run.slurm_path.exists():
        from fttui_engine.supervise.slurm_queue import stop_slurms

        adopt(run)
        return stop_slurms(run, now=now)
    _refuse_foreign(run)
    adopt(run)
    command = drop_command(run, KILL if now else STOP)
    answer = _await_answer(run, command)
    if not answer.accepted:
        raise WrongRequestError(f"{run.id}: {answer.message}")
    return answer


def _await_answer(run: Run, command: Command) -> Answer:
    deadline = time.monotonic() + ANSWER_SECONDS
    while (answer := read_answer(run, command)) is None:
        ended = not read_state(run).state.is_live and in_charge(run) is not Liveness.ALIVE
        if ended or time.monotonic() > deadline:
            if not withdraw_command(run, command) and (answer := read_answer(run, command)):
                break
            if ended:
                raise WrongRequestError(f"{run.id} ended before it could be asked", "nothing was changed")
            raise FttuiError(
                f"the supervisor of {run.id} did not answer within {ANSWER_SECONDS:.0f} s",
                f"{run.supervisor_log_path} may say why; fttui reconcile puts another one in place",
            )
        time.sleep(0.02)
    return answer


def resume(
    run: Run,
    from_step: int | None = None,
    changed: Plan | None = None,
    change: str = "",
    queue: QueueRequest | None = None,
) -> Run:
    """Go on with an ended run from its newest whole checkpoint, or from the one of ``from_step``.

    A ``changed`` plan replaces the run's own; ``change`` says how it differs. With ``queue`` it waits for its turn; a
    run that was queued before does so anyway, unless its plan is changed.
    """
    plan = run.read_plan()
    if from_step is not None:
        steps = [checkpoint.step for checkpoint in list_checkpoints(run.output_dir) if checkpoint.complete]
        if from_step not in steps:
            there_are = ", ".join(map(str, steps)) or "none"
            raise WrongRequestError(
                f"{run.id} has no whole checkpoint of step {from_step}", f"there are: {there_are}"
            )
    if from_step is None and plan.kind == "train" and read_state(run).state is State.FINISHED:
        raise WrongRequestError(
            f"{run.id} has finished: there is nothing to go on with",
            f"fttui restart {run.id} trains it again from the start; fttui resume --from STEP goes back to a step",
        )
    message = f"Resume asked for with {change}." if change else "Resume asked for."
    return _next_attempt(
        run, Request(NEWEST, from_step), "resume_requested", message, changed=changed, queue=queue
    )


def restart(run: Run) -> Run:
    """Train an ended run again from step 0; its checkpoints are kept aside under another name."""
    return _next_attempt(run, Request(SCRATCH), "restart_requested", "Restart from step 0 asked for.")


def remove(run: Run) -> None:
    """Delete an ended run with all that is in its directory; an output folder elsewhere is left as it is."""
    adopt(run)
    with charge_lock(run):
        _refuse_live(run, "stop it first")
        release_output(run)
        delete_run_folder(run)


def remove_checkpoint(run: Run, step: int) -> None:
    """Delete the checkpoint of a step, unless a live run needs it to be resumed from."""
    checkpoints = list_checkpoints(run.output_dir)
    checkpoint = next((each for each in checkpoints if each.step == step), None)
    if checkpoint is None:
        raise WrongRequestError(f"{run.id} has no checkpoint of step {step} any more")
    with charge_lock(run):
        state = read_state(run).state
        newest = max((each.step for each in checkpoints if each.complete), default=None)
        if state in (State.STARTING, State.QUEUED) or (state.is_live and step == newest):
            raise WrongRequestError(
                f"{run.id} is {state} and may need its checkpoint of step {step}",
                "stop it first, or keep this one",
            )
        delete(checkpoint.path)
        if not state.is_live:  # a live run's events are its supervisor's to write
            Journal(run).note("checkpoint_deleted", f"The checkpoint of step {step} was deleted.", step=step)


def _next_attempt(
    run: Run,
    request: Request,
    event: str,
    message: str,
    *,
    changed: Plan | None = None,
    queue: QueueRequest | None = None,
) -> Run:
    adopt(run)
    is_slurms = run.slurm_path.exists()
    if is_slurms:
        _refuse_of_slurms(run, queue)
    with charge_lock(run):
        _refuse_live(run, "nothing was changed")
        queue = queue or (None if changed else _queued_again(run))
        if not queue and not is_slurms:
            _refuse_leased(run, changed or run.read_plan())
        with reclaim_output(run):
            # Asked of the attempt before, by somebody who was killed over it: not to end the new one.
            refuse_commands(run, "the run had ended before it could be asked")
            if queue:
                write_queue_request(run.queue_path, queue)
                changed = with_gpus(changed or run.read_plan(), None)._replace(leases=())
            else:
                run.queue_path.unlink(missing_ok=True)
            if changed:
                run.write_plan(changed)
            number = max(run.latest_attempt_number(), read_state(run).attempt) + 1
            if request.resume == NEWEST:
                request = request._replace(settings=run.attempt(number - 1).read_request().settings)
            run.attempt(number).create(request)
            journal = Journal(run)
            journal.move(
                State.QUEUED if queue or is_slurms else State.STARTING,
                event,
                message,
                attempt=number,
                exit=None,
                ended_at=None,
                attempt_started_at=None,
                stop_deadline=None,
            )
            try:
                _begin(run, is_slurms=is_slurms)
            except BaseException:
                if is_slurms or not keeper_is_alive(run):
                    _fail_to_start(run, journal, is_slurms=is_slurms)
                raise
    return run


def _queued_again(run: Run) -> QueueRequest | None:
    """Return the request of a run that was queued before: at the end of the line, and waiting for no other run."""
    before = read_queue_request(run.queue_path)
    return before and before._replace(queued_at=time.time(), after=())


def _refuse_leased(run: Run, plan: Plan) -> None:
    """Raise WrongRequestError where another run has a GPU of this one."""
    if not plan.leases:
        return
    from fttui_engine.supervise.leases import holder_of, is_of

    for name in plan.leases:
        if (holder := holder_of(name)) and not is_of(holder, run):
            raise WrongRequestError(
                f"a GPU of {run.id} is in use by {holder} now",
                f"fttui resume {run.id} --queue waits for a free one",
            )


def _begin(run: Run, *, is_slurms: bool) -> None:
    if is_slurms:
        from fttui_engine.supervise.slurm_queue import submit

        submit(run)
    else:
        spawn_keeper(run)


def _refuse_of_slurms(run: Run, queue: QueueRequest | None) -> None:
    from fttui_engine.supervise.slurm_queue import refuse_while_job_is_there

    if queue:
        raise WrongRequestError(
            f"{run.id} is queued by Slurm, not by fttui", f"leave out --queue: fttui resume {run.id}"
        )
    refuse_while_job_is_there(run)


def _fail_to_start(run: Run, journal: Journal, *, is_slurms: bool) -> None:
    message = "No keeper could be started, so the attempt did not begin."
    if is_slurms:
        message = "It could not be submitted to Slurm, so the attempt did not begin."
    advice = f"{run.supervisor_log_path} may say why; fttui resume {run.id} tries again"
    verdict = ExitVerdict("keeper", None, None, message, advice)
    journal.move(State.FAILED, "failed", message, exit=verdict, ended_at=time.time())


def _refuse_live(run: Run, hint: str) -> None:
    """Raise WrongRequestError unless the run has ended and its keeper is gone; the caller holds the lock."""
    deadline = time.monotonic() + GOING_SECONDS
    while True:
        if (state := read_state(run).state).is_live:
            _refuse_foreign(run)
            raise WrongRequestError(f"{run.id} is {state}", hint)
        # The keeper of an ended run is not waited for on another host: there is nothing left for it to do.
        if in_charge(run) is not Liveness.ALIVE:
            return
        if time.monotonic() > deadline:
            raise WrongRequestError(f"the keeper of {run.id} is still at work", "try again in a moment")
        time.sleep(0.01)


def _refuse_foreign(run: Run) -> None:
    if in_charge(run) is Liveness.FOREIGN:
        keeper = identity_from_json((read_json_or_none(run.keeper_path) or {}).get("keeper"))
        host = keeper.host if keeper else "another host"
        where = "in another container of this host" if host == this_host() else f"on {host}"
        raise WrongRequestError(
            f"{run.id} belongs to a keeper {where}", f"log in there and repeat the command {where}"
        )
