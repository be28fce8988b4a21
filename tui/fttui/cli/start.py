"""``fttui start``: from a configuration, or any program."""

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from fttui_engine.errors import ExitCode, WrongRequestError
from fttui_engine.launch.start import start as start_run
from fttui_engine.launch.start import start_command
from fttui_engine.runs.run import Run, check_name

if TYPE_CHECKING:
    from fttui_engine.spec.findings import Findings

NOT_FOR_PROGRAMS = "--gpus is for training; a program of your own sees the GPUs that you see"


def start(arguments: Namespace) -> int:
    """Start a run and, with ``--wait``, wait for its end."""
    if arguments.name is not None:
        check_name(arguments.name)
    run = _start_program(arguments) if arguments.command is not None else _start_training(arguments)
    if arguments.json:
        print(json.dumps({"id": run.id, "run_dir": str(run.path)}), flush=True)
    else:
        print(run.id, flush=True)
        print(f"fttui: {run.id} is started; fttui logs -f {run.id} follows it", file=sys.stderr)
    if not arguments.wait:
        return ExitCode.DONE
    from fttui.cli.control import wait_for_end

    return wait_for_end(run)


def _start_program(arguments: Namespace) -> Run:
    if arguments.config or arguments.profile or arguments.set:
        raise WrongRequestError(
            "a program after -- takes no configuration", "leave out CONFIG, --profile and --set"
        )
    if arguments.gpus is not None:
        raise WrongRequestError(
            NOT_FOR_PROGRAMS, "choose them with: fttui start -- env CUDA_VISIBLE_DEVICES=0 COMMAND ..."
        )
    return start_command(arguments.name, arguments.command)


def _start_training(arguments: Namespace) -> Run:
    from fttui_engine.spec.load import resolve

    if arguments.config is None and arguments.profile is None:
        raise WrongRequestError(
            "there is nothing to start", "name a CONFIG, a --profile, or a program after --"
        )
    overrides = [*arguments.set, *_gpu_override(arguments.gpus)]
    config = None if arguments.config is None else Path(arguments.config)
    resolved = resolve(config, profile=arguments.profile, overrides=overrides)
    if arguments.gpus is not None and resolved.run.command:
        raise WrongRequestError(NOT_FOR_PROGRAMS, "set CUDA_VISIBLE_DEVICES in run.environment")
    _say_what_is_noteworthy(resolved.findings)
    return start_run(resolved, arguments.name)


def _say_what_is_noteworthy(findings: "Findings") -> None:
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
