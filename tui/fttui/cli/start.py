"""``fttui start``: from a configuration, or any program."""

import json
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from fttui_engine.errors import ExitCode, WrongRequestError
from fttui_engine.launch.start import start as start_run
from fttui_engine.launch.start import start_command
from fttui_engine.runs.run import Run, check_name

if TYPE_CHECKING:
    from fttui_engine.launch.queue import QueueWish
    from fttui_engine.spec.findings import Findings
    from fttui_engine.spec.resolved import Resolved

NOT_FOR_PROGRAMS = "--gpus is for training; a program of your own sees the GPUs that you see"


def start(arguments: Namespace) -> int:
    """Start a run and, with ``--wait``, wait for its end."""
    if arguments.name is not None:
        check_name(arguments.name)
    wish = queue_wish(arguments)
    _warn_of_logout()
    if arguments.sweep:
        return _start_sweep(arguments)
    if arguments.command is not None:
        run = _start_program(arguments, wish)
    else:
        run = _start_training(arguments, wish)
    if arguments.json:
        print(json.dumps({"id": run.id, "run_dir": str(run.path)}), flush=True)
    else:
        print(run.id, flush=True)
        print(f"fttui: {run.id} is {_what_began(run, is_queued=bool(wish))}", file=sys.stderr)
    if not arguments.wait:
        return ExitCode.DONE
    from fttui.cli.control import wait_for_end

    return wait_for_end(run)


def _what_began(run: Run, *, is_queued: bool) -> str:
    if run.slurm_path.exists():
        from fttui_engine.runs.slurm_job import require_slurm_job

        job = require_slurm_job(run.slurm_path).job_id
        return f"submitted as Slurm job {job}; fttui show {run.id} says what it waits for"
    if is_queued:
        return f"queued; fttui show {run.id} says what it waits for"
    return f"started; fttui logs -f {run.id} follows it"


def queue_wish(arguments: Namespace) -> "QueueWish | None":
    """Return what is asked of the queue, ``None`` where the run is to start at once."""
    if not (arguments.queue or arguments.after or arguments.priority is not None or arguments.backfill):
        return None
    from fttui_engine.launch.queue import QueueWish

    return QueueWish(arguments.priority or 0, tuple(arguments.after), arguments.backfill)


def _start_sweep(arguments: Namespace) -> int:
    from fttui.cli.queue import start_sweep

    if arguments.command is not None:
        raise WrongRequestError("--sweep varies a configuration, and a program after -- has none")
    _require_configuration(arguments)
    return start_sweep(arguments, [*arguments.set, *_gpu_override(arguments.gpus)])


def _require_configuration(arguments: Namespace) -> None:
    if arguments.config is None and arguments.profile is None:
        raise WrongRequestError(
            "there is nothing to start", "name a CONFIG, a --profile, or a program after --"
        )


def _start_program(arguments: Namespace, wish: "QueueWish | None") -> Run:
    if arguments.config or arguments.profile or arguments.set:
        raise WrongRequestError(
            "a program after -- takes no configuration", "leave out CONFIG, --profile and --set"
        )
    if wish:
        return start_command(arguments.name, arguments.command, wish, _gpus_of_program(arguments.gpus))
    if arguments.gpus is not None:
        raise WrongRequestError(
            NOT_FOR_PROGRAMS,
            "choose them with: fttui start -- env CUDA_VISIBLE_DEVICES=0 COMMAND ..., or let it wait for them: --queue",
        )
    return start_command(arguments.name, arguments.command)


def _gpus_of_program(text: str | None) -> int | tuple[int, ...]:
    """Return ``--gpus`` of a queued program: without it, it waits for none and sees all."""
    words = [word for word in (text or "none").replace(" ", "").split(",") if word]
    if words == ["none"]:
        return 0
    if not words or not all(word.isascii() and word.isdigit() and len(word) < 5 for word in words):
        raise WrongRequestError(f"--gpus {text!r} is neither a number of GPUs nor a list such as 0,1")
    numbers = tuple(dict.fromkeys(int(word) for word in words))
    return numbers if "," in (text or "") else numbers[0]


def _start_training(arguments: Namespace, wish: "QueueWish | None") -> Run:
    from fttui_engine.spec.load import resolve

    _require_configuration(arguments)
    overrides = [*arguments.set, *_gpu_override(arguments.gpus)]
    config = None if arguments.config is None else Path(arguments.config)
    resolved = resolve(config, profile=arguments.profile, overrides=overrides)
    if arguments.gpus is not None and resolved.run.command and not wish:
        raise WrongRequestError(NOT_FOR_PROGRAMS, "set CUDA_VISIBLE_DEVICES in run.environment")
    say_what_is_noteworthy(resolved.findings)
    _warn_of_disks(resolved)
    run = start_run(resolved, arguments.name, wish, _warn)
    _warn_of_no_autostart(resolved)
    return run


def _warn_of_disks(resolved: "Resolved") -> None:
    from fttui_engine.launch.disk_room import disk_rooms

    for room in disk_rooms(resolved):
        if room.warning:
            _warn(room.warning)


def _warn_of_logout() -> None:
    # A look at one folder, so that hosts without systemd do not pay for the import.
    if os.path.isdir("/run/systemd/system"):
        from fttui_engine.launch.logout import logout_danger

        if danger := logout_danger():
            _warn(danger)


def _warn_of_no_autostart(resolved: "Resolved") -> None:
    if resolved.run.resume_after_reboot:
        from fttui_engine.launch.autostart import is_installed

        if not is_installed():
            _warn("run.resume_after_reboot has no effect before: fttui install-autostart")


def _warn(sentence: str) -> None:
    from fttui_engine.runs.logs import one_line

    print(one_line(f"fttui: warning: {sentence}"), file=sys.stderr)


def say_what_is_noteworthy(findings: "Findings") -> None:
    """Name on stderr what does not keep the run from starting, but may not be what was meant."""
    said = [f"warning: {finding.message}" for finding in findings.warnings]
    said += [f"{item.old} is read as {item.new}" for item in findings.translated]
    if findings.ignored:
        keys = ", ".join(item.key for item in findings.ignored)
        said.append(f"without effect: {keys} (fttui check says why)")
    if said:
        from fttui_engine.runs.logs import one_line

        for line in said:
            print(one_line(f"fttui: {line}"), file=sys.stderr)


def _gpu_override(gpus: str | None) -> list[str]:
    """Return ``--gpus`` as an override: with a comma it is a list of indices, without a number of GPUs."""
    if gpus is None:
        return []
    if not gpus.strip(", "):
        raise WrongRequestError(
            "--gpus names no GPU", "--gpus 0,1 names two, --gpus 2 any two, --gpus none none"
        )
    if "," in gpus:
        return [f"run.gpus=[{gpus.strip(',')}]"]
    return [f"run.gpus={gpus}"]
