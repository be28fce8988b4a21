"""``fttui trust``: agree, once, that the Python code of a model may run with one's own rights."""

import sys
from argparse import Namespace
from pathlib import Path

from fttui_engine.errors import ExitCode, WrongRequestError
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.trusted_code import ModelCode, code_in, is_trusted, trust

SHOWN_FILES = 20


def agree(arguments: Namespace) -> int:
    """Show what code a model brings, ask, and remember the answer."""
    code = code_of(arguments.model)
    if code is None:
        print(f"fttui: {one_line(arguments.model)} brings no code of its own", file=sys.stderr)
        return ExitCode.DONE
    if is_trusted(code):
        print(f"fttui: the code of {one_line(code.model)} is trusted already", file=sys.stderr)
        return ExitCode.DONE
    print(f"{one_line(code.model)} brings Python code, version {code.version[:12]}:", file=sys.stderr)
    for name in code.files[:SHOWN_FILES] or ("(not downloaded yet)",):
        print(f"  {one_line(name)}", file=sys.stderr)
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise WrongRequestError("running a model's code needs a yes", "fttui trust --yes MODEL")
        print(
            "It can do all that you can do on this machine. Run it? [y/N] ",
            end="",
            file=sys.stderr,
            flush=True,
        )
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("fttui: nothing is trusted", file=sys.stderr)
            return ExitCode.FAILED
    trust(code)
    print("fttui: it is trusted, until it changes", file=sys.stderr)
    return ExitCode.DONE


def code_of(model: str) -> ModelCode | None:
    """Return the code of a folder, or of a model of the hub that was downloaded."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return code_in(folder)
    from fttui_engine.spec.memory.model_config import cached_snapshot

    snapshot = cached_snapshot(model, "main", None)
    if snapshot is None:
        raise WrongRequestError(
            f"{model} is not on this machine",
            "give its folder, or start a run with it once, which downloads it",
        )
    return code_in(snapshot, model, snapshot.name)
