"""Starting runs: of a configuration, and of any program."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.run import Plan, Run, check_name
from fttui_engine.supervise.creation import start_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fttui_engine.launch.gpu_choice import Wanted
    from fttui_engine.launch.queue import QueueWish
    from fttui_engine.runs.files import Json
    from fttui_engine.spec.resolved import Resolved

GRACE_SECONDS = 60.0
"""The least that a stop waits for the run to save; the supervisor adds to it for slow steps and saves."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def start(
    resolved: "Resolved",
    name: str | None = None,
    queue: "QueueWish | None" = None,
    say: "Callable[[str], object] | None" = None,
    ranks: "Sequence[str]" = (),
) -> Run:
    """Start a run of a resolved configuration, or queue it; raises WrongRequestError with all that is wrong with it.

    ``say`` is told what a person should know of its GPUs. ``ranks`` are the arguments of ``train.ranks`` where this is
    the part of one host in a run over several.
    """
    require_ok(resolved)
    name = check_name(name or resolved.run.name or default_name(resolved))
    if resolved.run.command:
        environment = {"PYTHONUNBUFFERED": "1", **(resolved.run.environment or {})}
        plan = _plan(name, "command", list(resolved.run.command), environment, resolved)
    else:
        argv = _ranks_argv(resolved, ranks) if ranks else _worker_argv(resolved)
        plan = _plan(name, "train", argv, _worker_environment(resolved), resolved)
    _require_program(plan)
    is_slurms = resolved.run.launcher == "slurm"
    if is_slurms and queue:
        raise WrongRequestError(
            "run.launcher: slurm waits in Slurm's queue, not in that of fttui",
            "leave out --queue; priorities and dependencies go into run.slurm.extra",
        )
    request = queue.request(_wanted(resolved)) if queue else None
    if plan.kind == "train" and not is_slurms:
        plan = _with_gpus(plan, "none" if queue else _wanted(resolved), say)

    def write_spec(path: Path, output_dir: str) -> None:
        from fttui_engine.spec.resolved import write_spec

        origin = resolved.origins.get("output_dir", "default")
        write_spec(resolved.with_value("output_dir", output_dir, origin), path)

    take_over = bool(resolved.values.get("overwrite_output_dir"))
    slurm = slurm_settings(resolved) if is_slurms else None
    return start_plan(plan, write_spec, take_over=take_over, queue=request, slurm=slurm)


def slurm_settings(resolved: "Resolved") -> "Json":
    """Return what Slurm is asked for: the ``run.slurm`` block, with the GPUs of ``run.gpus`` where it names none."""
    settings = dict(resolved.run.slurm or {})
    wanted = _wanted(resolved)
    if "gres" not in settings and wanted != "none":
        settings["gres"] = f"gpu:{wanted if isinstance(wanted, int) else 1}"
    if resolved.run.nodes != 1:
        settings["nodes"] = resolved.run.nodes
    return settings


def require_ok(resolved: "Resolved") -> None:
    """Raise WrongRequestError with all that is wrong with a configuration."""
    if not resolved.ok:
        errors = resolved.findings.errors
        lines = "\n".join(error.message for error in errors)
        count = "one thing" if len(errors) == 1 else f"{len(errors)} things"
        raise WrongRequestError(lines, f"{count} to mend; nothing was started")


def start_command(
    name: str | None,
    argv: "Sequence[str]",
    queue: "QueueWish | None" = None,
    gpus: "int | tuple[int, ...]" = 0,
) -> Run:
    """Start any program as a run, or queue it for so many GPUs; it is not interpreted by a shell."""
    if not argv:
        raise WrongRequestError(
            "there is no command to start", "write it after --: fttui start -- python train.py"
        )
    name = check_name(name or _as_name(Path(argv[0]).name))
    # PYTHONUNBUFFERED, because a Python program that writes to a file otherwise shows its log in pieces of 8 KiB.
    plan = Plan(name, "command", list(argv), {"PYTHONUNBUFFERED": "1"}, _folder(), "", None, GRACE_SECONDS)
    _require_program(plan)
    request = queue.request(gpus) if queue else None
    return start_plan(plan, _write_command_spec(plan), queue=request)


def default_name(resolved: "Resolved") -> str:
    """Return a name for a run that was given none: that of its file, else that of its profile."""
    layers = set(resolved.origins.values())
    for kind in ("file ", "profile "):
        for layer in sorted(layers):
            if layer.startswith(kind):
                return _as_name(Path(layer.removeprefix(kind).rpartition(":")[0]).stem)
    return "run"


def _plan(name: str, kind: str, argv: list[str], environment: dict[str, str], resolved: "Resolved") -> Plan:
    output_dir = str(resolved.values.get("output_dir") or "")
    restart = resolved.run.restart or {}
    return Plan(
        name,
        kind,
        argv,
        environment,
        _folder(),
        output_dir,
        None,
        GRACE_SECONDS,
        restart.get("max", 0),
        restart.get("backoff_seconds"),
        resolved.run.log_max_bytes,
        resume_after_reboot=resolved.run.resume_after_reboot,
        hang_seconds=_hang_seconds(resolved.run.hang_seconds),
        launcher=resolved.run.launcher,
    )


def _hang_seconds(wanted: float | str) -> float | None:
    if isinstance(wanted, str):
        return None if wanted == "auto" else 0.0
    return wanted


def _wanted(resolved: "Resolved") -> "Wanted":
    """Return the GPUs that a configuration wants; a program of one's own wants none unless it is said."""
    if resolved.values.get("use_cpu") or (
        resolved.run.command and resolved.origins.get("run.gpus", "default") == "default"
    ):
        return "none"
    return resolved.run.gpus


def _with_gpus(plan: Plan, wanted: "Wanted", say: "Callable[[str], object] | None") -> Plan:
    """Return the plan with GPUs chosen, which the environment of the configuration may overrule."""
    from fttui_engine.launch.gpu_choice import choose
    from fttui_engine.supervise.gpu_environment import gpu_environment

    choice = choose(wanted)
    if say:
        for remark in choice.remarks:
            say(remark)
    environment = {**gpu_environment(choice.gpus), **plan.environment}
    return plan._replace(environment=environment, gpus=choice.gpus, leases=choice.leases)


def _require_program(plan: Plan) -> None:
    """Raise WrongRequestError unless the program of a plan is there to be run, as exec will look for it."""
    program = plan.argv[0]
    if "/" in program:
        places = [os.path.join(plan.cwd, program)]
    else:
        places = [
            os.path.join(folder, program) for folder in os.get_exec_path({**os.environ, **plan.environment})
        ]
    if any(os.path.isfile(place) and os.access(place, os.X_OK) for place in places):
        return
    if "/" in program and os.path.exists(places[0]):
        raise WrongRequestError(
            f"{program} is not a program that can be run", f"chmod +x {program} may make it one"
        )
    raise WrongRequestError(f"there is no program {program!r}", "check its spelling, or give its full path")


def _worker_argv(resolved: "Resolved") -> list[str]:
    python, count = resolved.run.python or sys.executable, resolved.run.process_count
    if resolved.run.launcher == "slurm" and resolved.run.nodes != 1:
        return [python, "-P", "-m", "fttui_engine.train.ranks.slurm", str(count)]
    return worker_argv(python, count)


def _ranks_argv(resolved: "Resolved", ranks: "Sequence[str]") -> list[str]:
    return [resolved.run.python or sys.executable, "-P", "-m", "fttui_engine.train.ranks", *ranks]


def worker_argv(python: str, process_count: int) -> list[str]:
    """Return the command of a training in so many processes."""
    # -P keeps the current folder off the import path: a datasets/ or random.py there would shadow the libraries.
    alone = [python, "-P", "-m", "fttui_engine.train"]
    return alone if process_count == 1 else [*alone[:-1], "fttui_engine.train.ranks", str(process_count)]


def _worker_environment(resolved: "Resolved") -> dict[str, str]:
    fixed = {
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # Threads that spin while they wait made training on shared cores 4 to 8 times slower (12.6 against 50-95
        # tokens per second); on a GPU it makes no difference.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }
    return {**fixed, **(resolved.run.environment or {})}


def _write_command_spec(plan: Plan) -> "Callable[[Path, str], None]":
    def write_spec(path: Path, output_dir: str) -> None:
        import json

        # JSON is YAML; this spares the start of a plain program the import of a YAML library.
        text = json.dumps({"schema": 1, "values": {"run": {"command": plan.argv}}, "origins": {}}, indent=1)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")

    return write_spec


def _as_name(text: str) -> str:
    """Return the nearest thing to ``text`` that can be a run's name."""
    return _NOT_IN_NAMES.sub("-", text).strip("._-")[:48] or "run"


def _folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError as error:
        raise WrongRequestError("the current folder no longer exists", "change to another folder") from error
