"""The arguments of what opens the screens."""

from argparse import ArgumentParser
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fttui.keys import Scope

RUN_PAGES: "Final[dict[str, Scope]]" = {
    "overview": "run",
    "charts": "chart",
    "checkpoints": "checkpoints",
    "events": "events",
    "config": "config",
    "files": "files",
    "log": "log",
}
"""The pages about a run as the command line names them."""
THEME_NAMES: Final = ("dark", "light", "high-contrast", "colour-blind", "terminal")


def screen_arguments(parser: ArgumentParser) -> None:
    """Declare how the screens look and begin."""
    parser.add_argument("--read-only", action="store_true", help="refuse every action that changes anything")
    parser.add_argument(
        "--ascii", action="store_true", help="only ASCII characters, for fonts without braille"
    )
    parser.add_argument("--theme", metavar="T", choices=THEME_NAMES, help=", ".join(THEME_NAMES))
    parser.add_argument("--fresh", action="store_true", help="begin at the dashboard, not where it was left")


def page_arguments(parser: ArgumentParser) -> None:
    """Declare at which page of a run the screens open."""
    parser.add_argument("page", metavar="PAGE", nargs="?", choices=[*RUN_PAGES], help=", ".join(RUN_PAGES))
    screen_arguments(parser)


def edit_arguments(parser: ArgumentParser) -> None:
    """Declare what the editor opens."""
    parser.add_argument(
        "config",
        metavar="FILE",
        nargs="?",
        help="a YAML file, which need not be there yet (default: a new one)",
    )
    parser.add_argument("--profile", metavar="P", help="show what this profile says where FILE says nothing")
    screen_arguments(parser)
