"""Opening the screens, where there is a terminal that can show them."""

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from fttui.cli.screen_arguments import RUN_PAGES
from fttui_engine.errors import ExitCode, WrongRequestError

if TYPE_CHECKING:
    from fttui.app import Opening
    from fttui.editor.document import Source
    from fttui.keys import Scope


def run(arguments: Namespace) -> int:
    """Open the screens at one run."""
    from fttui_engine.runs.run import find_run

    page = RUN_PAGES[arguments.page or "overview"]
    return open_screens(arguments, find_run(arguments.run).id, page)


def edit(arguments: Namespace) -> int:
    """Open the editor on a configuration file, or on a new one."""

    from fttui.editor.document import Source
    from fttui.editor.files import open_file

    if problem := _problem():
        raise WrongRequestError(problem, "fttui check says what is wrong with a file, everywhere")
    profile = arguments.profile or ""
    if profile:
        from fttui_engine.spec.profiles import load_profile

        load_profile(profile)
    path = None if arguments.config is None else open_file(Path(arguments.config)).path
    return open_screens(arguments, edits=Source(path, profile))


def keys(arguments: Namespace) -> int:
    """List the keys as this user has them."""
    import json

    from fttui.keys import KEYS, names_of
    from fttui.keys.keymap import Keymap
    from fttui.settings import config_path, user_settings

    settings = user_settings()
    keymap = Keymap(settings.keymap)
    for problem in (*settings.problems, *keymap.problems):
        print(f"fttui: {problem}", file=sys.stderr)
    rows = [(key.id, " ".join(names_of(keymap.changed(key))), key.help, sorted(key.scopes)) for key in KEYS]
    if arguments.json:
        print(
            json.dumps(
                [dict(zip(("id", "keys", "help", "screens"), row, strict=True)) for row in rows], indent=1
            )
        )
        return ExitCode.DONE
    for name, pressed, text, _ in rows:
        print(f"{name:<20} {pressed:<16} {text}")
    print(f"\n{config_path()} changes them: keymap, then lines of `name: keys`.", file=sys.stderr)
    return ExitCode.DONE


def open_screens(
    arguments: Namespace | None = None,
    run: str | None = None,
    page: "Scope | None" = None,
    edits: "Source | None" = None,
) -> int:
    """Open the screens; without a fit terminal list the runs instead and say why."""
    replayed = getattr(arguments, "replay", None)
    if problem := _problem():
        if replayed:
            raise WrongRequestError(problem, "a recording is an archive of text files: tar xzf unpacks it")
        from fttui.cli.show import print_table

        print_table()
        print(f"fttui: {problem}; the verbs work everywhere: fttui -h", file=sys.stderr)
        return ExitCode.WRONG_REQUEST
    from fttui.app import Opening, run_app
    from fttui.settings import user_settings
    from fttui_engine.runs.home import state_home

    settings, is_fresh = user_settings(), False
    if arguments:
        settings = settings._replace(
            theme=arguments.theme or settings.theme,
            ascii=arguments.ascii or settings.ascii,
            read_only=arguments.read_only or settings.read_only,
        )
        is_fresh = arguments.fresh
    opening = Opening(settings, state_home(), run, page, is_fresh=is_fresh or bool(edits), edits=edits)
    return _replay(Path(replayed), opening) if replayed else run_app(opening)


def _replay(path: Path, opening: "Opening") -> int:
    """Show a recording; nothing of it or of this machine is changed."""
    from fttui.app import run_app
    from fttui.recording import opened

    with opened(path) as recording:
        settings = opening.settings._replace(read_only=True, restore_session=False)
        return run_app(opening._replace(settings=settings, home=recording.home, recording=recording))


def can_open() -> bool:
    """Whether there is a terminal that the screens can be shown on."""
    return not _problem()


def _problem() -> str:
    for stream, name in ((sys.stdin, "input"), (sys.stdout, "output"), (sys.stderr, "error output")):
        if stream is None or not stream.isatty():
            return f"the {name} is no terminal, so there are no screens (with ssh, add -t)"
    if os.environ.get("TERM", "dumb") in ("", "dumb"):
        return "this terminal (TERM=dumb) cannot show screens"
    return ""
