"""``fttui start``: from a configuration, or any program."""

import json
import sys
from argparse import Namespace
from pathlib import Path

from fttui_engine.errors import ExitCode, WrongRequestError
from fttui_engine.launch.start import start as start_run
from fttui_engine.launch.start import start_command
from fttui_engine.runs.run import Run, check_name


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
            "--gpus is for training; a program after -- sees the GPUs that you see",
            "choose them with: fttui start -- env CUDA_VISIBLE_DEVICES=0 COMMAND ...",
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
    for finding in [*resolved.findings.warnings]:
        print(f"fttui: warning: {finding.message}", file=sys.stderr)
    return start_run(resolved, arguments.name)


def _gpu_override(gpus: str | None) -> list[str]:
    """Return ``--gpus`` as an override: with a comma it is a list of indices, without a number of GPUs."""
    if gpus is None:
        return []
    if "," in gpus:
        return [f"run.gpus=[{gpus.strip(',')}]"]
    return [f"run.gpus={gpus}"]
