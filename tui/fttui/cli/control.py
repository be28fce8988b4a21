"""The verbs that change a run: stop, resume, restart, wait, rm, reconcile."""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from fttui_engine.errors import ExitCode, NoSuchRunError, WrongRequestError
from fttui_engine.runs.home import state_home
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.run import Run, find_run
from fttui_engine.supervise import adoption, control

POLL_SECONDS = 0.1
ADOPT_EVERY_SECONDS = 2.0


def stop(arguments: Namespace) -> int:
    """Let a run save and end, or kill it."""
    run = find_run(arguments.run)
    answer = control.stop(run, now=arguments.now)
    _say(arguments, run, answer.message)
    return ExitCode.DONE


def resume(arguments: Namespace) -> int:
    """Go on from a checkpoint."""
    run, changed, change, queue = find_run(arguments.run), None, "", None
    if arguments.gpus or arguments.processes:
        from fttui_engine.launch.rescale import rescale

        changed, change = rescale(run, gpus=arguments.gpus, processes=arguments.processes)
    if arguments.queue:
        from fttui_engine.launch.queue import resume_request

        queue = resume_request(run)
    run = control.resume(run, arguments.step, changed, change, queue)
    is_queued = run.queue_path.exists() or run.slurm_path.exists()
    _say(arguments, run, f"goes on with {change}" if change else "is queued" if is_queued else "goes on")
    return ExitCode.DONE


def restart(arguments: Namespace) -> int:
    """Train again from step 0."""
    run = control.restart(find_run(arguments.run))
    _say(arguments, run, "starts again from step 0")
    return ExitCode.DONE


def wait(arguments: Namespace) -> int:
    """Wait for the end of a run."""
    code = wait_for_end(find_run(arguments.run), arguments.timeout)
    if arguments.json:
        from fttui_engine.runs.summary import summarize

        print(json.dumps(summarize(find_run(arguments.run)).to_json(), indent=1))
    return code


@contextmanager
def leaving_it_running(run: Run) -> Iterator[None]:
    """Say, when ctrl-C ends the waiting, that the run does not end with it."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"fttui: {run.id} goes on; fttui stop {run.id} ends it", file=sys.stderr)
        raise


def wait_for_end(run: Run, timeout_seconds: float | None = None) -> int:
    """Wait until a run has ended and return the exit code that says how; adopts it if it is left alone meanwhile."""
    with leaving_it_running(run):
        return _wait_for_end(run, timeout_seconds)


def _wait_for_end(run: Run, timeout_seconds: float | None) -> int:
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    next_look = 0.0
    while (state := read_state(run)).state.is_live:
        if deadline is not None and time.monotonic() > deadline:
            print(f"fttui: {run.id} is still {state.state}", file=sys.stderr)
            return ExitCode.FAILED
        if time.monotonic() >= next_look:
            adoption.look_after(run)
            next_look = time.monotonic() + ADOPT_EVERY_SECONDS
        time.sleep(POLL_SECONDS)
    if not run.path.is_dir():
        raise NoSuchRunError(f"{run.id} was deleted", "fttui ls shows all runs")
    sentence = state.exit.message if state.exit else ""
    print(one_line(f"fttui: {run.id} is {state.state}. {sentence}"), file=sys.stderr)
    if not state.state.is_failure:
        return ExitCode.DONE
    if state.exit and state.exit.advice:
        print(one_line(f"  {state.exit.advice}"), file=sys.stderr)
    return ExitCode.RUN_FAILED


def remove(arguments: Namespace) -> int:
    """Delete an ended run, after asking where there is somebody to ask."""
    run = find_run(arguments.run)
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise WrongRequestError(f"deleting {run.id} needs a yes", f"fttui rm --yes {run.id}")
        print(
            f"Delete {run.id} with its log, numbers and the checkpoints in {run.path}? [y/N] ",
            end="",
            flush=True,
        )
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("fttui: nothing was deleted", file=sys.stderr)
            return ExitCode.FAILED
    control.remove(run)
    print(f"fttui: {run.id} is deleted", file=sys.stderr)
    return ExitCode.DONE


def reconcile(arguments: Namespace) -> int:
    """Adopt what nobody is in charge of."""
    sentences = adoption.reconcile(state_home())
    if arguments.resume:
        from fttui_engine.launch.after_reboot import resume_interrupted

        sentences += resume_interrupted(state_home())
    if arguments.json:
        print(json.dumps(sentences))
        return ExitCode.DONE
    for sentence in sentences:
        print(one_line(sentence))
    if not sentences:
        print("fttui: every live run has somebody in charge", file=sys.stderr)
    return ExitCode.DONE


def _say(arguments: Namespace, run: Run, message: str) -> None:
    if arguments.json:
        print(json.dumps({"id": run.id, "message": message}))
    else:
        print(f"fttui: {run.id}: {message}", file=sys.stderr)
