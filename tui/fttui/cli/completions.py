"""``fttui completions SHELL``: a script with which a shell completes verbs, options, runs, profiles and files."""

from argparse import Action, Namespace
from typing import Literal, NamedTuple

from fttui.cli.arguments import VERBS, main_parser, verb_parser
from fttui_engine.errors import ExitCode

Kind = Literal["none", "any", "words", "run", "file", "run or file"]
"""What comes behind an option or at a place: nothing, something nobody can guess, one of these words, ..."""

KINDS: dict[str, Kind] = {
    "RUN": "run",
    "MODEL": "run or file",
    "CONFIG": "file",
    "FILE": "file",
    "FILE.tar.gz": "file",
    "FOLDER": "file",
    "DIR": "file",
}


class Argument(NamedTuple):
    """An option with its spellings, or without any a place on the command line."""

    flags: tuple[str, ...]
    help: str
    kind: Kind
    words: tuple[str, ...] = ()


class Command(NamedTuple):
    """A verb with what can stand behind it; without a name the program itself."""

    name: str
    help: str
    options: tuple[Argument, ...]
    places: tuple[Argument, ...]


def print_completions(arguments: Namespace) -> int:
    """Print the script for a shell."""
    from fttui.cli import shells

    print(shells.WRITERS[arguments.shell](commands()), end="")
    return ExitCode.DONE


def commands() -> list[Command]:
    """Return all that can be typed, the program itself first."""
    parsers = [
        ("", "", main_parser()),
        *((name, verb.summary, verb_parser(name)) for name, verb in VERBS.items()),
    ]
    return [_command(name, summary, parser._actions) for name, summary, parser in parsers]


def _command(name: str, summary: str, actions: list[Action]) -> Command:
    described = [_argument(action) for action in actions]
    return Command(
        name,
        summary,
        tuple(each for each in described if each.flags),
        tuple(each for each in described if not each.flags),
    )


def _argument(action: Action) -> Argument:
    words = tuple(str(each) for each in action.choices or ())
    metavar = str(action.metavar or action.dest)
    if action.option_strings and action.nargs == 0:
        kind: Kind = "none"
    elif words:
        kind = "words"
    elif metavar == "P" or (action.dest == "name" and metavar == "NAME"):
        kind, words = "words", _profile_names()
    else:
        kind = KINDS.get(metavar, "any")
    return Argument(tuple(action.option_strings), action.help or "", kind, words)


def _profile_names() -> tuple[str, ...]:
    from fttui_engine.spec.profiles import list_profiles

    return tuple(profile.name for profile in list_profiles())
