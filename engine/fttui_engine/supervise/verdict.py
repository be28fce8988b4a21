"""What an attempt's end means, from all the evidence: what was wished, what training said, how the process ended."""

import signal
from typing import NamedTuple

from fttui_engine.runs.attempt import Attempt, Exit, Outcome
from fttui_engine.runs.journal import ExitVerdict
from fttui_engine.runs.logs import tail
from fttui_engine.runs.states import State
from fttui_engine.supervise.diagnosis import Diagnosis

CANNOT_RUN = "fttui: cannot run"
"""How the line begins that the keeper leaves in the log of a program that it could not start."""


class Evidence(NamedTuple):
    """All that is known when an attempt has ended."""

    intent: str
    """What was wished of the attempt: ``""``, ``stop``, ``kill``, ``shutdown`` or ``requeue``."""
    outcome: Outcome | None
    exit: Exit | None
    restarted: str
    """What was restarted under the attempt: ``host``, ``container`` or ``""``."""
    oom_kills: int
    """Processes that the kernel's out-of-memory killer ended on this host while the attempt ran."""
    last_line: str
    cause: Diagnosis | None = None
    """What the log says about why the program died."""
    hung: str = ""
    """What was found when the attempt got on no longer and was ended for it."""
    kind: str = "train"
    """The plan's kind: a training goes on from a checkpoint, any other program starts again."""
    launcher: str = "local"


class Verdict(NamedTuple):
    """The state that a run ends in, and why."""

    state: State
    exit: ExitVerdict


def judge(evidence: Evidence, run_id: str) -> Verdict:
    """Return what the end of an attempt means; the first rule that fits wins.

    What training said of itself comes before the exit status: a clean stop under a launcher exits 1, and a run cut
    short can exit 0.
    """
    outcome = evidence.outcome
    if outcome and outcome.result == "finished":
        return _verdict(State.FINISHED, "finished", evidence, outcome.message)
    if outcome and outcome.result == "stopped":
        return _stopped(evidence, outcome.message, run_id)
    if evidence.hung:
        return _verdict(State.FAILED, "hung", evidence, evidence.hung, _hung_advice(evidence, run_id))
    if outcome:
        return _verdict(State.FAILED, outcome.kind or "error", evidence, outcome.message, outcome.advice)
    if evidence.restarted:
        advice = _how_to_go_on(evidence, run_id)
        return _verdict(
            State.INTERRUPTED, "reboot", evidence, f"The {evidence.restarted} was restarted.", advice
        )
    if evidence.intent == "kill":
        return _verdict(State.STOPPED, "killed", evidence, "Ended at once, as asked.")
    if evidence.intent:
        return _stopped(evidence, "", run_id)
    return _unasked(evidence, run_id)


def _stopped(evidence: Evidence, message: str, run_id: str) -> Verdict:
    """Return the verdict on an attempt that was asked to end, by a person or by the host."""
    if not message and evidence.exit and evidence.exit.signal == signal.SIGKILL:
        message = "It did not end by itself within its grace period and was killed."
    if evidence.intent in ("stop", "kill"):
        text = message or "Ended as asked."
        return _verdict(State.STOPPED, "stopped", evidence, text)
    who = "The host asked all processes to end."
    if evidence.intent == "requeue":
        who = "The job's time limit was near."
    elif evidence.launcher == "slurm":
        who = "Slurm asked the job to end (scancel, preemption, or its time limit)."
    text = " ".join([who, message]).strip()
    return _verdict(State.INTERRUPTED, "shutdown", evidence, text, _how_to_go_on(evidence, run_id))


def _unasked(evidence: Evidence, run_id: str) -> Verdict:
    """Return the verdict on a process that ended without a wish or a word."""
    ended = evidence.exit
    advice = f"fttui logs {run_id} shows its last words; {_how_to_go_on(evidence, run_id)}"
    if ended is None:
        message = "It ended while no keeper was there to see its exit status."
        return _verdict(State.FAILED, "unknown", evidence, message, advice)
    if ended.code == 0:
        return _verdict(State.FINISHED, "finished", evidence, "The program ended with exit code 0.")
    # SIGKILL comes from outside, so that the program's own last words do not explain it.
    if (cause := evidence.cause) and ended.signal != signal.SIGKILL:
        return _verdict(State.FAILED, cause.kind, evidence, cause.message, f"{cause.advice}; {advice}")
    if ended.signal is not None:
        return _killed(evidence, ended.signal, advice)
    message = f"The program ended with exit code {ended.code}."
    if evidence.last_line.startswith(CANNOT_RUN):
        message = f"The program could not be started: {evidence.last_line.removeprefix(CANNOT_RUN).strip()}."
    elif evidence.last_line:
        message += f" Its last line: {evidence.last_line}"
    return _verdict(State.FAILED, "exit_code", evidence, message, advice)


def _hung_advice(evidence: Evidence, run_id: str) -> str:
    looks = f"fttui stacks {run_id} shows where it stood; " if evidence.kind == "train" else ""
    slow = "if it was only slow, raise run.hang_seconds"
    return f"{looks}{slow}; {_how_to_go_on(evidence, run_id)}"


def _how_to_go_on(evidence: Evidence, run_id: str) -> str:
    what = "goes on from the newest checkpoint" if evidence.kind == "train" else "starts the program again"
    return f"fttui resume {run_id} {what}"


def _killed(evidence: Evidence, number: int, advice: str) -> Verdict:
    name = signal_name(number)
    if number == signal.SIGKILL and evidence.oom_kills:
        message = f"Killed by {name}: the host ran out of memory and the kernel ended it."
        advice = "lower per_device_train_batch_size, cutoff_len or dataloader_num_workers; " + advice
        return _verdict(State.FAILED, "oom_host", evidence, message, advice)
    reasons = {
        signal.SIGKILL: "somebody, or a job limit of this host, ended it at once",
        signal.SIGSEGV: "a crash in native code, most often a driver or library mismatch",
        signal.SIGBUS: "a crash in native code, most often a full /dev/shm or a file that shrank",
        signal.SIGABRT: "native code gave up; the log says why",
        signal.SIGTERM: "something on this host asked it to end",
        signal.SIGHUP: "its terminal or session ended",
        signal.SIGINT: "it was interrupted as by Ctrl-C",
    }
    reason = (
        reasons.get(signal.Signals(number), "nothing in fttui sent it") if name[:3] == "SIG" else "unknown"
    )
    return _verdict(State.FAILED, "signal", evidence, f"Killed by {name}: {reason}.", advice)


def signal_name(number: int) -> str:
    """Return the name of a signal, or its number in words where it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_line(attempt: Attempt) -> str:
    """Return the last line of an attempt's log that says anything."""
    spoken = [line.strip() for line in tail(attempt.log_path, 20) if line.strip()]
    return spoken[-1][:300] if spoken else ""


def _verdict(state: State, kind: str, evidence: Evidence, message: str, advice: str = "") -> Verdict:
    ended = evidence.exit
    code, number = (ended.code, ended.signal) if ended else (None, None)
    return Verdict(state, ExitVerdict(kind, code, number, message, advice))
