"""The user's own choices: ``$XDG_CONFIG_HOME/fttui/config.yaml``; a mistake in it is told and stops nothing."""

import os
from pathlib import Path
from typing import Any, Final

from fttui.cli.screen_arguments import THEME_NAMES
from fttui.settings import Settings, config_path
from fttui_engine.spec.document import read_document
from fttui_engine.spec.findings import nearest
from fttui_engine.spec.keys import Key
from fttui_engine.spec.nodes import Block, DocumentError, Node
from fttui_engine.spec.values import MismatchError, convert, plain_text

CHOICES: Final = (
    Key("theme", "choice", None, "colours; terminals that have but 16 always get terminal", THEME_NAMES),
    Key("ascii", "flag", None, "only ASCII characters; without it as TERM and the locale say"),
    Key("refresh_seconds", "number", 1.0, "how often runs and GPUs are read", at_least=0.2, at_most=60),
    Key("mouse", "flag", False, "take the mouse for scrolling; selecting text then needs shift"),
    Key("read_only", "flag", False, "refuse every action that changes anything"),
    Key("restore_session", "flag", True, "begin where the screens were left"),
    Key("keymap", "settings", None, "a block of action: keys"),
)
"""Every key of the file."""


def read_settings(path: Path | None = None) -> Settings:
    """Read the file; what is wrong in it is left out and named with file, line and key."""
    path = path or config_path()
    if not path.exists():
        return Settings()
    try:
        document = read_document(path)
    except DocumentError as error:
        if path.exists() and not path.stat().st_size:
            return Settings()
        where = f"{path}:{error.line}" if error.line else str(path)
        return Settings(problems=(f"{where}: {error.message}",))
    found: dict[str, Any] = {}
    problems: list[str] = []
    for name, node in document.entries:
        try:
            value = _value(name.text, node)
        except MismatchError as error:
            suggestion = f"; did you mean {error.suggestion}?" if error.suggestion else ""
            problems.append(
                f"{path}:{name.line}: {name.text}: {error.found}; allowed: {error.allowed}{suggestion}"
            )
            continue
        if value is not None:
            found[name.text] = value
    return Settings(**found, problems=tuple(problems))


def _value(name: str, node: Node) -> Any:
    key = next((each for each in CHOICES if each.name == name), None)
    names = [each.name for each in CHOICES]
    if key is None:
        raise MismatchError("there is no such key", ", ".join(names), nearest(name, names))
    if key.name != "keymap":
        return convert(key, node)
    if not isinstance(node, Block):
        raise MismatchError("this is no block", "lines of `action: keys` below it")
    return {action.text: plain_text(key, keys) for action, keys in node.entries}


def write_theme(name: str, path: Path | None = None) -> Path:
    """Write the theme to the file; every other line of it, comments too, stays as it is."""
    path = path or config_path()
    lines = path.read_text().splitlines() if path.exists() else []
    new = f"theme: {name}"
    at = next((number for number, line in enumerate(lines) if line.startswith("theme:")), None)
    if at is None:
        lines.append(new)
    else:
        _, mark, comment = lines[at].partition(" #")
        lines[at] = f"{new}{mark}{comment}"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text("\n".join(lines) + "\n")
    partial.replace(path.resolve())
    return path
