"""A configuration as a YAML file of its own: what is not the default, in the order of the key table."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fttui_engine.errors import WrongRequestError

if TYPE_CHECKING:
    from fttui_engine.spec.resolved import Resolved


def configuration_text(resolved: "Resolved", name: str) -> str:
    """Return the file: everything that somebody wrote or chose, and nothing that is the default anyway."""
    values = _written(resolved.values, resolved.origins, "")
    heading = [f"# Written by fttui. Start it with: fttui start {name}.yaml", ""]
    return "\n".join([*heading, *_lines(values, ""), ""])


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


def _written(values: Mapping[str, Any], origins: Mapping[str, str], prefix: str) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for key, value in values.items():
        if f"{prefix}{key}" in ("run", "run.restart"):
            if block := _written(value, origins, f"{prefix}{key}."):
                written[key] = block
        elif not origins.get(f"{prefix}{key}", "default").startswith("default"):
            written[key] = value
    return written


def _lines(block: Mapping[str, Any], indent: str) -> list[str]:
    lines: list[str] = []
    for key, value in block.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {_scalar(value)}")
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        # YAML takes 1e-05 for a text; a number needs its point.
        mantissa, mark, exponent = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}{mark}{exponent}" if mark else mantissa
    if isinstance(value, str) and value.replace("/", "").replace("-", "").replace("_", "").isalnum():
        is_word = value.lower() not in ("true", "false", "yes", "no", "on", "off", "null", "none", "y", "n")
        return value if is_word and value[:1].isalpha() else json.dumps(value)
    return json.dumps(value)
