"""A configuration as a text of its own: what is not the default, in the order of the key table."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fttui.editor.written import value_as_yaml
from fttui_engine.spec.keys import BLOCKS, GROUPS
from fttui_engine.spec.resolved import Resolved, read_spec


def text_of_run(run_id: str, spec_path: Path) -> str:
    """Return the configuration of a run, to start another one from; raises FttuiError where it is damaged."""
    resolved = read_spec(spec_path)
    # The name is the other run's own.
    run = {key: value for key, value in resolved.values.get("run", {}).items() if key != "name"}
    # A command is not marked as chosen: the run of a program has nothing else.
    origins = {"run.command": "file", **resolved.origins}
    unnamed = resolved._replace(values={**resolved.values, "run": run}, origins=origins)
    return text_of_configuration(unnamed, f"# As in the run {run_id}; what is not named here is the default.")


def text_of_configuration(resolved: Resolved, heading: str) -> str:
    """Return what of a configuration somebody wrote or chose, as YAML, a paragraph for each group of keys."""
    lines = [heading]
    for group, keys in GROUPS.items():
        if group == "run":
            written = list(_block({"run": resolved.values.get("run", {})}, resolved.origins, "", ""))
        else:
            values = {key.name: resolved.values[key.name] for key in keys if key.name in resolved.values}
            written = list(_block(values, resolved.origins, "", ""))
        lines += ["", *written] if written else []
    return "\n".join([*lines, ""])


def _block(values: Mapping[str, Any], origins: Mapping[str, str], prefix: str, indent: str) -> Iterator[str]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if name in BLOCKS:
            inner = list(_block(value, origins, f"{name}.", indent + "  "))
            yield from [f"{indent}{key}:", *inner] if inner else []
        elif not origins.get(name, "default").startswith("default"):
            yield f"{indent}{key}: {value_as_yaml(value)}"
