"""A configuration as a YAML file of its own: what is not the default, in the order of the key table."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fttui.editor.run_text import text_of_configuration
from fttui_engine.errors import WrongRequestError

if TYPE_CHECKING:
    from fttui_engine.spec.resolved import Resolved


def configuration_text(resolved: "Resolved", name: str) -> str:
    """Return the file: everything that somebody wrote or chose, and nothing that is the default anyway."""
    return text_of_configuration(resolved, f"# Written by fttui. Start it with: fttui start {name}.yaml")


def write_configuration(resolved: "Resolved", name: str, folder: Path) -> Path:
    """Write it to a new file for its owner only, since variables in it may be secrets; never over another file."""
    for number in range(1, 1000):
        path = folder / (f"{name}.yaml" if number == 1 else f"{name}.{number}.yaml")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(configuration_text(resolved, path.stem))
        return path
    raise WrongRequestError(f"{folder} has a thousand files called {name}", "choose another name")
