"""The ``fttui`` command: opens the screens, or does what the verb says."""

import gc
import sys
from io import TextIOWrapper

# Until a verb is at work nothing is garbage, and looking for it costs a tenth of what a verb takes in all.
gc.disable()

from fttui.cli.arguments import VERBS, main_parser, verb_parser  # noqa: E402
from fttui_engine.errors import ExitCode, FttuiError  # noqa: E402


def main() -> int:
    """Run the command line and return its exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A log line or file name that the terminal's encoding lacks is shown with a question mark.
        sys.stdout.reconfigure(errors="replace")
    try:
        code = _dispatch(sys.argv[1:])
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except FttuiError as error:
        from fttui_engine.runs.logs import one_line

        # A message may quote the name of a file, which may hold anything.
        lines = [f"fttui: {error.message}", *([f"  {error.hint}"] if error.hint else [])]
        for line in "\n".join(lines).split("\n"):
            print(one_line(line), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # `fttui logs RUN | head` closed the pipe; the interpreter would complain again when it flushes at exit.
        sys.stdout = None
        return ExitCode.DONE
    except OSError as error:
        sys.stdout = None
        from fttui_engine.runs.home import state_home

        # A write that fails does not say to which file: a full disk may be that of the output or of the runs.
        where = error.filename or f"writing the output, or to {state_home()}"
        print(f"fttui: {where}: {error.strerror or error}", file=sys.stderr)
        return ExitCode.FAILED


def _dispatch(argv: list[str]) -> int:
    if argv and argv[0] in VERBS:
        return _call(argv[0], argv[1:])
    if argv and not argv[0].startswith("-"):
        return _unknown(argv[0])
    arguments = main_parser().parse_args(argv)
    if arguments.version:
        from fttui_engine.version import __version__

        print(f"fttui {__version__}")
        return ExitCode.DONE
    from fttui.cli.screens import open_screens

    _look_for_garbage()
    return open_screens(arguments)


def _call(verb: str, argv: list[str]) -> int:
    command: list[str] | None = None
    if verb == "start" and "--" in argv:
        position = argv.index("--")
        argv, command = argv[:position], argv[position + 1 :]
    arguments = verb_parser(verb).parse_args(argv)
    arguments.command = command
    module, _, name = VERBS[verb].function.partition(":")
    function = getattr(__import__(f"fttui.cli.{module}", fromlist=[name]), name)
    _look_for_garbage()
    return int(function(arguments))


def _look_for_garbage() -> None:
    """Collect from here on, for the verbs that follow a run for days, but never among what was imported."""
    gc.freeze()
    gc.enable()


def _unknown(verb: str) -> int:
    from difflib import get_close_matches

    close = get_close_matches(verb, VERBS, n=1, cutoff=0.7)
    print(f"fttui: there is no verb {verb!r}", file=sys.stderr)
    print(f"  did you mean {close[0]}?" if close else "  fttui -h lists them", file=sys.stderr)
    return ExitCode.WRONG_REQUEST


if __name__ == "__main__":
    sys.exit(main())
