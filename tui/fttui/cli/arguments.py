"""Every verb with its arguments, in one table; only the parser of the verb that was typed is built."""

import os
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable
from typing import NamedTuple


class HelpFormatter(RawDescriptionHelpFormatter):
    """Knows its width: left to find it out, argparse imports shutil with all its compressors for each verb (4 ms)."""

    def __init__(self, prog: str) -> None:
        try:
            columns = os.get_terminal_size().columns
        except OSError:
            columns = 80
        super().__init__(prog, width=max(40, columns - 2))


class Verb(NamedTuple):
    """One word of the command line; ``function`` is ``module:name`` and is imported only when it is called."""

    summary: str
    function: str
    declare: Callable[[ArgumentParser], object]


def run_argument(parser: ArgumentParser) -> None:
    """Declare ``RUN``."""
    parser.add_argument("run", metavar="RUN", help="the run's id, or the beginning of it")


def json_argument(parser: ArgumentParser) -> None:
    """Declare ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, a documented, stable interface")


def _elsewhere(module: str, name: str) -> Callable[[ArgumentParser], object]:
    """Return what declares arguments in a module of their own, which other verbs do not pay for."""

    def declare(parser: ArgumentParser) -> None:
        declarations = __import__(f"fttui.cli.{module}_arguments", fromlist=[name])
        getattr(declarations, f"{name}_arguments")(parser)

    return declare


def _run_screens(parser: ArgumentParser) -> None:
    from fttui.cli.screen_arguments import page_arguments

    run_argument(parser)
    page_arguments(parser)


def _run_and_json(parser: ArgumentParser) -> None:
    run_argument(parser)
    json_argument(parser)


def _config(parser: ArgumentParser) -> None:
    parser.add_argument(
        "config", metavar="CONFIG", nargs="?", help="a YAML file with LLaMA-Factory's key names"
    )
    parser.add_argument("--profile", metavar="P", help="take what CONFIG does not say from this profile")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="set one key; may be given many times"
    )
    json_argument(parser)


def _trust(parser: ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="a folder with a model, or a downloaded model of the hub"
    )
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _data(parser: ArgumentParser) -> None:
    _config(parser)
    parser.add_argument(
        "--examples", metavar="N", type=count, default=1, help="examples of each split to show (default: 1)"
    )


def _check(parser: ArgumentParser) -> None:
    _config(parser)
    parser.add_argument(
        "--probe", action="store_true", help="measure the memory of 3 real steps on the longest examples"
    )


def _start(parser: ArgumentParser) -> None:
    _config(parser)
    parser.add_argument("--name", metavar="N", help="name of the run (default: that of the file or program)")
    parser.add_argument("--gpus", metavar="0,1|N|none", help="GPUs by index (0,1 or 0,), by number, or none")
    parser.add_argument("--wait", action="store_true", help="wait for the end; exit 4 if the run fails")
    from fttui.cli.queue_arguments import start_arguments

    start_arguments(parser)
    parser.epilog = "fttui start --name N -- COMMAND ...   supervises any program"


def _reconcile(parser: ArgumentParser) -> None:
    json_argument(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="let runs with run.resume_after_reboot: true that a reboot ended go on",
    )


def _autostart(parser: ArgumentParser) -> None:
    parser.add_argument("--remove", action="store_true", help="take it away again")


def _gpus_verb(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--watch", action="store_true", help="print them each second until Ctrl+C; with --json as JSON lines"
    )
    json_argument(parser)


def _doctor(parser: ArgumentParser) -> None:
    parser.add_argument("--python", metavar="P", help="the Python that trains (default: that of fttui)")
    json_argument(parser)


def _profiles(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="print this profile")
    json_argument(parser)


def _record(parser: ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="the runs' ids, or the beginnings of them")
    parser.add_argument("file", metavar="FILE.tar.gz", help="the archive; fttui --replay shows it")


def _shell(parser: ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")


def _demo(parser: ArgumentParser) -> None:
    parser.add_argument("--name", metavar="N", default="demo", help="name of the run")


def count(text: str) -> int:
    """Return a number of things as it was typed."""
    if not (text.isascii() and text.isdigit()):
        raise ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)


VERBS: dict[str, Verb] = {
    "start": Verb("start a run from a configuration, or any program after --", "start:start", _start),
    "ls": Verb("list all runs", "show:list_runs", _elsewhere("queue", "list")),
    "sweep": Verb("compare the runs of a sweep, the best first", "queue:sweep", _elsewhere("queue", "sweep")),
    "show": Verb("say all about one run", "show:show", _run_and_json),
    "run": Verb("open the screens at one run", "screens:run", _run_screens),
    "logs": Verb("print what a run has written", "logs:logs", _elsewhere("run", "logs")),
    "events": Verb("say what happened to a run", "show:events", _run_and_json),
    "metrics": Verb("print the numbers of a run", "show:metrics", _run_and_json),
    "stacks": Verb("show what every thread of a training is doing", "stacks:stacks", _run_and_json),
    "stop": Verb("let a run save at its next step and end", "control:stop", _elsewhere("run", "stop")),
    "resume": Verb("go on from the newest whole checkpoint", "control:resume", _elsewhere("run", "resume")),
    "restart": Verb("train again from step 0", "control:restart", _run_and_json),
    "wait": Verb("wait until a run has ended", "control:wait", _elsewhere("run", "wait")),
    "rm": Verb("delete an ended run", "control:remove", _elsewhere("run", "remove")),
    "reconcile": Verb("adopt runs that nobody is in charge of", "control:reconcile", _reconcile),
    "install-autostart": Verb("look after runs when this host has booted", "autostart:install", _autostart),
    "edit": Verb("edit a configuration in a form or as text", "screens:edit", _elsewhere("screen", "edit")),
    "check": Verb("say what is wrong with a configuration before it starts", "check:run", _check),
    "export-command": Verb(
        "print the lines with which torchrun trains this",
        "export_command:run",
        _elsewhere("export_command", "export_command"),
    ),
    "trust": Verb("agree that a model's own Python code may run", "trust:agree", _trust),
    "estimates": Verb("show how far memory predictions have been off", "estimates:run", json_argument),
    "data": Verb("show what a configuration's data is made of", "data:run", _data),
    "gpus": Verb("show the GPUs of this machine", "gpus:run", _gpus_verb),
    "doctor": Verb("say what of this machine stands in the way of training", "doctor:run", _doctor),
    "nodes": Verb(
        "list several machines, and say whether they can train together",
        "nodes:run",
        _elsewhere("nodes", "nodes"),
    ),
    "profiles": Verb("list the ready-made configurations, or print one", "profiles:run", _profiles),
    "locate": Verb("print the folders that fttui uses", "locate:locate", json_argument),
    "predict": Verb(
        "let a model answer a data set, and measure the answers", "use:predict", _elsewhere("use", "predict")
    ),
    "chat": Verb("talk with a model", "use:chat", _elsewhere("use", "chat")),
    "compare": Verb("ask base and trained model the same", "use:compare", _elsewhere("use", "compare")),
    "export": Verb(
        "merge an adapter into its base, as a model of its own", "use:export", _elsewhere("use", "export")
    ),
    "record": Verb("pack runs for a bug report, secrets masked", "record:record", _record),
    "keys": Verb(
        "list the keys of the screens, by the names that a keymap uses", "screens:keys", json_argument
    ),
    "completions": Verb(
        "print a script with which a shell completes", "completions:print_completions", _shell
    ),
    "demo": Verb("train a tiny model right here, on the CPU", "demo:demo", _demo),
}


def verb_parser(name: str) -> ArgumentParser:
    """Return the parser of one verb."""
    verb = VERBS[name]
    description = f"{verb.summary[0].upper()}{verb.summary[1:]}."
    parser = ArgumentParser(prog=f"fttui {name}", description=description, formatter_class=HelpFormatter)
    verb.declare(parser)
    return parser


def main_parser() -> ArgumentParser:
    """Return the parser for a command line without a verb: help and version."""
    from fttui.cli.screen_arguments import screen_arguments

    verbs = "\n".join(f"  {name:<10} {verb.summary}" for name, verb in VERBS.items())
    parser = ArgumentParser(
        prog="fttui",
        usage="fttui [-h] [--version] [--read-only] [--ascii] [--theme T] [--fresh] [--replay FILE] [VERB ...]",
        description="The cockpit for fine-tuning language models over SSH. Without a verb it opens the screens.",
        epilog=f"verbs (fttui VERB -h says more):\n{verbs}",
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    screen_arguments(parser)
    parser.add_argument("--replay", metavar="FILE", help="show a recording, read-only and at its moment")
    return parser
